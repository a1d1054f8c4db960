"""Signed notes (c2sp.org/signed-note) with Ed25519 keys, signature type 0x01.

A note is text, a blank line, and signature lines ``— <name> base64(key id ‖ signature)``. Other signature types are
kept as unknown lines, never verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = 0x01
KEY_ID_BYTES = 4
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
DASH = "— "
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")


class NoteError(ValueError):
    """The bytes are not a signed note, or no signature by the expected key holds."""


class SigningFailed(RuntimeError):
    """The private key cannot be used any more; nothing may be acknowledged without a signed checkpoint."""


@dataclass(frozen=True)
class NoteSignature:
    """One signature line, decoded."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """The line as it stands in a note, with its newline."""
        return f"{DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True)
class SignedNote:
    """``text`` ends in a newline and excludes the blank line."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> bytes:
        """The note's bytes."""
        return (self.text + "\n" + "".join(item.line() for item in self.signatures)).encode()


@dataclass(frozen=True)
class VerifierKey:
    """A vkey: ``<name>+<key id in hex>+base64(type ‖ public key)``."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read a vkey line; raise :class:`NoteError` when it is not one or not Ed25519."""
        # base64 may contain "+", names and hex may not
        parts = vkey.strip().split("+", 2)
        if len(parts) != 3:
            raise NoteError("Expected a verifier key of three parts joined by '+': name, key id, public key.")
        name, key_id, encoded = parts
        check_key_name(name)
        material = decode_base64(encoded)
        if len(material) != 33 or material[0] != ED25519:
            raise NoteError("Expected an Ed25519 verifier key (type 1, 32 bytes); other key types are not read here.")
        key = cls(name, material[1:])
        if key.key_id.hex() != key_id:
            raise NoteError(f"The verifier key's id should be {key.key_id.hex()}, found {key_id}; copy the key again.")
        return key

    @cached_property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ newline ‖ type ‖ public key)[:4]."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.public).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([ED25519]) + self.public).decode()}"

    def owns(self, signature: NoteSignature) -> bool:
        """True when name and key id are this key's."""
        return signature.name == self.name and signature.key_id == self.key_id

    def check(self, text: str, signature: NoteSignature) -> None:
        """Raise :class:`NoteError` unless ``signature`` signs ``text``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature.signature, text.encode())
        except InvalidSignature as error:
            raise NoteError(f"The signature by {self.name} does not hold for this text.") from error


class Signer(Protocol):
    """An Ed25519 private key, in memory (``Ed25519PrivateKey``) or in a hardware module."""

    def sign(self, data: bytes, /) -> bytes:
        """The signature's 64 bytes; a module that is gone raises :class:`SigningFailed`."""
        ...

    def public_key(self) -> Ed25519PublicKey:
        """The public half."""
        ...


class NoteSigner:
    """A private Ed25519 key under a key name."""

    def __init__(self, name: str, private: Signer) -> None:
        check_key_name(name)
        self._private = private
        self.verifier = VerifierKey(name, private.public_key().public_bytes_raw())

    def sign(self, text: str) -> bytes:
        """Return the signed note over ``text`` (which must end in a newline)."""
        check_characters(text)
        if not text.endswith("\n"):
            raise NoteError("A note's text must end in a newline.")
        signature = NoteSignature(self.verifier.name, self.verifier.key_id, self._private.sign(text.encode()))
        return SignedNote(text, (signature,)).encode()


def parse_note(raw: bytes) -> SignedNote:
    """Split a note into text and signature lines, without verifying any; raise :class:`NoteError`."""
    if len(raw) > MAX_NOTE_BYTES:
        raise NoteError(f"A note may take {MAX_NOTE_BYTES} bytes, found {len(raw)}.")
    try:
        whole = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError(f"Expected UTF-8 text, found a wrong byte at offset {error.start}.") from error
    check_characters(whole)
    cut = whole.rfind("\n\n")
    if cut < 0 or not whole.endswith("\n") or cut + 2 == len(whole):
        raise NoteError("Expected text, a blank line and signature lines ending in a newline.")
    lines = whole[cut + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"A note may carry {MAX_SIGNATURES} signatures, found {len(lines)}.")
    return SignedNote(whole[: cut + 1], tuple(parse_signature(line) for line in lines))


def parse_signature(line: str) -> NoteSignature:
    """Read one signature line without its newline."""
    name, separator, encoded = line.removeprefix(DASH).partition(" ")
    if not line.startswith(DASH) or not separator:
        raise NoteError("Expected a signature line: em dash, space, key name, space, base64.")
    check_key_name(name)
    blob = decode_base64(encoded)
    if len(blob) <= KEY_ID_BYTES:
        raise NoteError("A signature line carries fewer than five bytes.")
    return NoteSignature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def open_note(raw: bytes, key: VerifierKey) -> SignedNote:
    """Parse a note and verify it; raise NoteError unless a signature by ``key`` is there and all of its hold."""
    note = parse_note(raw)
    own = [item for item in note.signatures if key.owns(item)]
    if not own:
        raise NoteError(f"Expected a signature by {key.name} (key id {key.key_id.hex()}), found none.")
    for item in own:
        key.check(note.text, item)
    return note


def check_key_name(name: str) -> None:
    """Raise unless ``name`` may be a key name: not empty, no space, no plus."""
    if not name or "+" in name or any(character.isspace() or ord(character) < 0x20 for character in name):
        raise NoteError("A key name must not be empty nor hold spaces or '+'.")


def check_characters(text: str) -> None:
    """Raise on control characters other than newline (signed-note, Format)."""
    found = _CONTROL.search(text)
    if found:
        raise NoteError(f"A note must not hold control characters, found one at character {found.start()}.")


def decode_base64(encoded: str) -> bytes:
    """Decode standard base64, refusing every spelling but the one an encoder writes (RFC 4648 section 3.5)."""
    try:
        decoded = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise NoteError("Expected standard base64.") from error
    if base64.b64encode(decoded).decode() != encoded:
        raise NoteError("Expected canonical base64, found stray bits or padding.")
    return decoded

"""Cosignatures (c2sp.org/tlog-cosignature): a cosigner's dated word that a checkpoint continues all it has seen.

Two kinds: Ed25519 (signature type 0x04), whose message is text, and ML-DSA-44 (0x06), whose message is binary and names
the cosigner. Only whole checkpoints are cosigned here, no subtrees with a start other than zero.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from audit.checkpoint import Checkpoint, parse_checkpoint
from audit.note import KEY_ID_BYTES, NoteError, NoteSignature, SignedNote, check_key_name, decode_base64

ED25519_COSIGNATURE = 0x04
ML_DSA_44_COSIGNATURE = 0x06

_PUBLIC_BYTES = {ED25519_COSIGNATURE: 32, ML_DSA_44_COSIGNATURE: 1312}
_SIGNATURE_BYTES = {ED25519_COSIGNATURE: 64, ML_DSA_44_COSIGNATURE: 2420}
_KIND_NAMES = {ED25519_COSIGNATURE: "ed25519", ML_DSA_44_COSIGNATURE: "ml-dsa-44"}
_TIME = struct.Struct(">Q")
_LATEST = 253_402_300_799
"""The last second a datetime can hold (year 9999); the specification's own limit, 2^63 - 1, lies far beyond."""


@dataclass(frozen=True)
class CosignerKey:
    """A cosigner's vkey; ``kind`` is the signature type, 0x04 (Ed25519) or 0x06 (ML-DSA-44)."""

    name: str
    kind: int
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> CosignerKey:
        """Read a vkey line; raise :class:`NoteError` when it is not one of the two cosigner types."""
        # base64 may contain "+", names and hex may not
        parts = vkey.strip("\n").split("+", 2)
        if len(parts) != 3:
            raise NoteError("Expected a cosigner key of three parts joined by '+': name, key id, public key.")
        name, key_id, encoded = parts
        check_key_name(name)
        material = decode_base64(encoded)
        kind = material[0] if material else 0
        if len(material) != 1 + _PUBLIC_BYTES.get(kind, -1):
            raise NoteError(
                "Expected a cosigner key of type 4 (Ed25519, 32 bytes) or 6 (ML-DSA-44, 1312 bytes),"
                f" found type {kind} with {max(0, len(material) - 1)} bytes; ask the witness for its cosigner key."
            )
        key = cls(name, kind, material[1:])
        if key.key_id.hex() != key_id:
            raise NoteError(f"The cosigner key's id should be {key.key_id.hex()}, found {key_id}; copy the key again.")
        return key

    @property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ newline ‖ type ‖ public key)[:4]."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:KEY_ID_BYTES]

    @property
    def kind_name(self) -> str:
        """``ed25519`` or ``ml-dsa-44``."""
        return _KIND_NAMES[self.kind]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def owns(self, signature: NoteSignature) -> bool:
        """True when name and key id are this key's."""
        return signature.name == self.name and signature.key_id == self.key_id

    def check(self, checkpoint_text: str, signature: NoteSignature) -> datetime:
        """When the cosignature was made; raise :class:`NoteError` unless it holds for this checkpoint's note text.

        A cosignature without a statement about time (ML-DSA-44 allows 0) gives the epoch, so that it is never fresh.
        """
        seconds, raw = split_cosignature(self.kind, signature.signature)
        checkpoint = parse_checkpoint(SignedNote(checkpoint_text, ()))
        try:
            if self.kind == ED25519_COSIGNATURE:
                Ed25519PublicKey.from_public_bytes(self.public).verify(raw, ed25519_message(checkpoint_text, seconds))
            else:
                message = ml_dsa_message(self.name, checkpoint, seconds)
                MLDSA44PublicKey.from_public_bytes(self.public).verify(raw, message)
        except (InvalidSignature, ValueError) as error:
            raise NoteError(f"The cosignature by {self.name} does not hold for this checkpoint.") from error
        return datetime.fromtimestamp(seconds, UTC)


class Cosigner:
    """A cosigner's private key under its name; ``key`` is the public half."""

    def __init__(self, name: str, private: Ed25519PrivateKey | MLDSA44PrivateKey) -> None:
        check_key_name(name)
        kind = ED25519_COSIGNATURE if isinstance(private, Ed25519PrivateKey) else ML_DSA_44_COSIGNATURE
        self._private = private
        self.key = CosignerKey(name, kind, private.public_key().public_bytes_raw())

    def cosign(self, checkpoint: Checkpoint, at: datetime) -> NoteSignature:
        """Sign the checkpoint as of ``at`` (aware, whole seconds count); raise :class:`NoteError`."""
        seconds = int(at.timestamp())
        if not 0 < seconds <= _LATEST:
            raise NoteError("Expected a cosignature time after 1970 and before the year 10000; set the clock.")
        if self.key.kind == ED25519_COSIGNATURE:
            message = ed25519_message(checkpoint.text(), seconds)
        else:
            message = ml_dsa_message(self.key.name, checkpoint, seconds)
        raw = _TIME.pack(seconds) + self._private.sign(message)
        return NoteSignature(self.key.name, self.key.key_id, raw)


def split_cosignature(kind: int, blob: bytes) -> tuple[int, bytes]:
    """The seconds since the epoch and the raw signature of a ``timestamped_signature``; raise :class:`NoteError`."""
    expected = _TIME.size + _SIGNATURE_BYTES[kind]
    if len(blob) != expected:
        raise NoteError(f"Expected a cosignature of {expected} bytes ({_KIND_NAMES[kind]}), found {len(blob)}.")
    (seconds,) = _TIME.unpack_from(blob)
    if seconds > _LATEST:
        raise NoteError(f"Expected a cosignature time before the year 10000, found {seconds} seconds since 1970.")
    return seconds, blob[_TIME.size :]


def ed25519_message(checkpoint_text: str, seconds: int) -> bytes:
    """Header line, time line, the whole note text (tlog-cosignature, Ed25519 signed message)."""
    return f"cosignature/v1\ntime {seconds}\n{checkpoint_text}".encode()


def ml_dsa_message(cosigner: str, checkpoint: Checkpoint, seconds: int) -> bytes:
    """The ``cosigned_message`` structure over the whole tree; extension lines are no part of it."""
    head = b"subtree/v1\n\0" + _short(cosigner, "cosigner name") + _TIME.pack(seconds)
    return head + _short(checkpoint.origin, "log origin") + struct.pack(">QQ", 0, checkpoint.size) + checkpoint.root


def _short(text: str, what: str) -> bytes:
    encoded = text.encode()
    if not 1 <= len(encoded) <= 255:
        raise NoteError(f"A {what} under ML-DSA-44 takes 1 to 255 bytes, found {len(encoded)}.")
    return bytes([len(encoded)]) + encoded

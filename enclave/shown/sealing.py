"""Sealing what was shown to a key that only the archive's readers hold: HPKE (RFC 9180), single shot, base mode.

DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. Project, person and day are bound as HPKE's ``info``: a
line put into another person's file does not open there. Content is compressed first (zlib).
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_LABEL = b"enclave/shown-archive/v1\n"
_LARGEST = 128 << 20


class SealError(Exception):
    """A key that cannot be read, or a box that does not open; the sentence says which."""


@dataclass(frozen=True)
class Place:
    """Whose archive of which day (ISO date, UTC)."""

    project: str
    username: str
    day: str

    def path(self, folder: Path) -> Path:
        """Below the archive's folder."""
        return folder / self.project / self.username / f"{self.day}.jsonl"

    @property
    def info(self) -> bytes:
        """What HPKE binds."""
        return _LABEL + "\n".join((self.project, self.username, self.day)).encode()


@dataclass(frozen=True)
class Shown:
    """What reached the browser: a kernel's ``message``, a ``terminal``'s frame, the answer that opened a ``file``."""

    kind: str
    content: str | bytes


def fingerprint(key: X25519PublicKey) -> str:
    """16 hex digits that name a key."""
    return hashlib.sha256(_LABEL + key.public_bytes_raw()).hexdigest()[:16]


def seal(shown: Shown, place: Place, key: X25519PublicKey) -> bytes:
    """The box only the private key opens."""
    form = "text" if isinstance(shown.content, str) else "binary"
    head = orjson.dumps({"kind": shown.kind, "form": form}) + b"\n"
    content = shown.content.encode("utf-8", "surrogatepass") if isinstance(shown.content, str) else shown.content
    return bytes(_SUITE.encrypt(zlib.compress(head + content, 1), key, place.info))


def unseal(box: bytes, place: Place, key: X25519PrivateKey) -> Shown:
    """Raises SealError: another key, another place, or changed bytes."""
    try:
        plain = _SUITE.decrypt(box, key, place.info)
        inflating = zlib.decompressobj()
        text = inflating.decompress(plain, _LARGEST)
        head, _, content = text.partition(b"\n")
        found = orjson.loads(head)
        if not inflating.eof:
            raise SealError("Expected at most 128 MB in a line of the archive, found more.")
        text_form = found["form"] == "text"
        return Shown(str(found["kind"]), content.decode("utf-8", "surrogatepass") if text_form else content)
    except (InvalidTag, ValueError, KeyError, TypeError, zlib.error) as error:
        raise SealError("Expected a line sealed to this key for this person and day, found another.") from error


def read_public_key(path: Path) -> X25519PublicKey:
    """From PEM. Raises SealError."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SealError(f"Expected the archive's public key at {path.name}, found none that can be read.") from error
    if not isinstance(key, X25519PublicKey):
        raise SealError(f"Expected an X25519 key in {path.name}, found another kind.")
    return key


def read_private_key(path: Path, passphrase: bytes | None) -> X25519PrivateKey:
    """From PEM. Raises SealError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError) as error:
        raise SealError(
            f"Expected the archive's private key in {path.name} and its passphrase, found another."
        ) from error
    if not isinstance(key, X25519PrivateKey):
        raise SealError(f"Expected an X25519 key in {path.name}, found another kind.")
    return key


def make_key(passphrase: bytes | None) -> tuple[bytes, bytes]:
    """A new key pair as PEM: private (encrypted with the passphrase, if there is one), public."""
    key = X25519PrivateKey.generate()
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        protection = serialization.BestAvailableEncryption(passphrase)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(pem, pkcs8, protection), public

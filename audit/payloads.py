"""Encrypted payloads: literals, names and addresses that belong to a record but not into the public leaf.

The leaf carries ``SHA-256(label ‖ salt ‖ payload)``. Salt and payload are encrypted together (AES-256-GCM) under one
key per month and project in ``state/keys``; deleting that key erases them for good while the tree stays valid.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.durable import make_directories, write_atomic

LABEL = b"enclave-audit/payload/v1\n"
SALT_BYTES = 32
_NONCE_BYTES = 12
_VERSION = 1
_HEADER = struct.Struct(">BH")
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_KEY_NAME = re.compile(r"[0-9]{4}-[0-9]{2}/(p-[a-z0-9-]{1,64}|h-[0-9a-f]{64}|none)", re.ASCII)


class PayloadError(RuntimeError):
    """The payload cannot be read: its key was erased, or its bytes do not match the leaf's commitment."""


@dataclass(frozen=True)
class SealedPayload:
    """``commitment`` goes into the leaf, ``blob`` beside it into the write-ahead log."""

    commitment: bytes
    blob: bytes


def commit(salt: bytes, payload: bytes) -> bytes:
    """SHA-256(label ‖ salt ‖ payload)."""
    return hashlib.sha256(LABEL + salt + payload).digest()


def key_name(project: str | None, at: datetime) -> str:
    """``<year>-<month>/<project>``; a project whose name does not fit a file name stands as its SHA-256."""
    if project is None:
        name = "none"
    elif _PLAIN_NAME.fullmatch(project):
        name = f"p-{project}"
    else:
        name = f"h-{hashlib.sha256(project.encode()).hexdigest()}"
    return f"{at.astimezone(UTC):%Y-%m}/{name}"


class PayloadVault:
    """Seals and opens payloads with the keys below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ciphers: dict[str, AESGCM] = {}

    def seal(self, payload: bytes, project: str | None, at: datetime) -> SealedPayload:
        """Encrypt; the month's key is created (durably) when it is the first payload under it."""
        name = key_name(project, at)
        salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        commitment = commit(salt, payload)
        encrypted = self._cipher(name, create=True).encrypt(nonce, salt + payload, self._bound(name, commitment))
        encoded = name.encode()
        return SealedPayload(commitment, _HEADER.pack(_VERSION, len(encoded)) + encoded + nonce + encrypted)

    def open(self, blob: bytes, commitment: bytes) -> bytes:
        """Decrypt and compare with the leaf's commitment; raise :class:`PayloadError`."""
        version, length = _HEADER.unpack_from(blob)
        name = blob[_HEADER.size : _HEADER.size + length].decode("ascii", "replace")
        rest = blob[_HEADER.size + length :]
        if version != _VERSION or not _KEY_NAME.fullmatch(name):
            raise PayloadError("The stored payload has an unknown form; the write-ahead log was damaged.")
        try:
            plain = self._cipher(name, create=False).decrypt(
                rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], self._bound(name, commitment)
            )
        except InvalidTag as error:
            raise PayloadError(
                "The stored payload does not match its leaf; the write-ahead log was changed."
            ) from error
        salt, payload = plain[:SALT_BYTES], plain[SALT_BYTES:]
        if not hmac.compare_digest(commit(salt, payload), commitment):
            raise PayloadError("The stored payload does not match the commitment in its leaf.")
        return payload

    @staticmethod
    def _bound(name: str, commitment: bytes) -> bytes:
        return LABEL + name.encode() + b"\n" + commitment

    def _cipher(self, name: str, *, create: bool) -> AESGCM:
        path = self._directory / f"{name}.key"
        # the file decides even when the key is cached: an erased key must be gone at once
        if not path.exists():
            if not create:
                raise PayloadError(f"The key {name} was erased; the payloads under it can no longer be read.")
            make_directories(path.parent, 0o700)
            write_atomic(path, secrets.token_bytes(32), mode=0o600)
            self._ciphers.pop(name, None)
        if name not in self._ciphers:
            self._ciphers[name] = AESGCM(path.read_bytes())
        return self._ciphers[name]

"""Encrypted payloads: literals, names and addresses that belong to a record but not into the public leaf.

The leaf carries ``SHA-256(label ‖ salt ‖ payload)``. Salt and payload are encrypted together (AES-256-GCM) under one
key per month and project in ``state/keys``; deleting that key erases them for good while the tree stays valid.

An erased key leaves ``<key>.erased`` behind and is never made again. A payload that arrives later for the same month
and project goes under the key's next generation (``p-heart``, then ``p-heart.2``): refusing it would lose an audit
record, and the old name would make erased payloads look tampered with.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.durable import fsync_directory, make_directories, write_atomic

LABEL = b"enclave-audit/payload/v1\n"
SALT_BYTES = 32
KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = 1
_HEADER = struct.Struct(">BH")
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_KEY_NAME = re.compile(r"[0-9]{4}-[0-9]{2}/(p-[a-z0-9-]{1,64}|h-[0-9a-f]{64}|none)(\.[1-9][0-9]{0,8})?", re.ASCII)
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)


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
    when = at.astimezone(UTC)
    return month_key_name(project, f"{when.year:04}-{when.month:02}")


@lru_cache(maxsize=4096)
def month_key_name(project: str | None, month: str) -> str:
    """:func:`key_name` for a month written ``2026-11``; raise ValueError for anything else."""
    if not _MONTH.fullmatch(month):
        raise ValueError("month: expected a month such as 2026-11.")
    if project is None:
        name = "none"
    elif _PLAIN_NAME.fullmatch(project):
        name = f"p-{project}"
    else:
        name = f"h-{hashlib.sha256(project.encode()).hexdigest()}"
    return f"{month}/{name}"


def generation_name(base: str, generation: int) -> str:
    """Name of a key's n-th generation; the first one carries no number."""
    return base if generation == 1 else f"{base}.{generation}"


def key_of(blob: bytes) -> str:
    """The name of the key a payload is encrypted under; raise :class:`PayloadError`."""
    try:
        version, length = _HEADER.unpack_from(blob)
    except struct.error as error:
        raise PayloadError("The stored payload is cut off; the write-ahead log was damaged.") from error
    name = blob[_HEADER.size : _HEADER.size + length].decode("ascii", "replace")
    if version != _VERSION or not _KEY_NAME.fullmatch(name):
        raise PayloadError("The stored payload has an unknown form; the write-ahead log was damaged.")
    return name


class PayloadVault:
    """Seals and opens payloads with the keys below one directory, and erases keys."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ciphers: dict[str, AESGCM] = {}
        self._generations: dict[str, int] = {}

    def seal(self, payload: bytes, project: str | None, at: datetime) -> SealedPayload:
        """Encrypt; the month's key is created (durably) when it is the first payload under it."""
        name, cipher = self._current(key_name(project, at))
        salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        commitment = commit(salt, payload)
        encrypted = cipher.encrypt(nonce, salt + payload, self._bound(name, commitment))
        encoded = name.encode()
        return SealedPayload(commitment, _HEADER.pack(_VERSION, len(encoded)) + encoded + nonce + encrypted)

    def open(self, blob: bytes, commitment: bytes) -> bytes:
        """Decrypt and compare with the leaf's commitment; raise :class:`PayloadError`."""
        name = key_of(blob)
        rest = blob[_HEADER.size + len(name) :]
        if not self._path(name).exists():
            self._ciphers.pop(name, None)
            raise PayloadError(f"The key {name} was erased; the payloads under it can no longer be read.")
        try:
            bound = self._bound(name, commitment)
            plain = self._load(name).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], bound)
        except InvalidTag as error:
            raise PayloadError(
                "The stored payload does not match its leaf; the write-ahead log was changed."
            ) from error
        salt, payload = plain[:SALT_BYTES], plain[SALT_BYTES:]
        if not hmac.compare_digest(commit(salt, payload), commitment):
            raise PayloadError("The stored payload does not match the commitment in its leaf.")
        return payload

    def generation(self, base: str) -> int:
        """The newest generation in use under this name, 0 when there is no key (never made, or erased already)."""
        generation = self._next_free(base)
        return generation if self._path(generation_name(base, generation)).exists() else 0

    def erase(self, base: str, up_to: int) -> None:
        """Destroy every generation of a key up to ``up_to``: marker first, overwrite, unlink. Can be repeated."""
        for generation in range(1, up_to + 1):
            name = generation_name(base, generation)
            self._ciphers.pop(name, None)
            make_directories(self._path(name).parent, 0o700)
            write_atomic(self._marker(name), b"", mode=0o600)
            self._destroy(self._path(name))
        self._generations.pop(base, None)

    def finish_erasures(self) -> None:
        """After a crash: destroy keys that were never finished, and those marked as erased but still there."""
        for unfinished in self._directory.glob("*/.*.tmp"):
            self._destroy(unfinished)
        for marker in self._directory.glob("*/*.erased"):
            self._destroy(marker.with_suffix(".key"))

    def keys_before(self, month: str) -> Iterator[tuple[str, int]]:
        """Names and newest generations of the keys of every month before ``month``."""
        for folder in sorted(self._directory.glob("*")):
            if _MONTH.fullmatch(folder.name) and folder.name < month:
                bases = {f"{folder.name}/{path.stem.split('.')[0]}" for path in folder.glob("*.key")}
                yield from ((base, self.generation(base)) for base in sorted(bases))

    @staticmethod
    def _bound(name: str, commitment: bytes) -> bytes:
        return LABEL + name.encode() + b"\n" + commitment

    def _current(self, base: str) -> tuple[str, AESGCM]:
        name = generation_name(base, self._generations.get(base, 0) or self._next_free(base))
        # the file decides even when the key is cached: an erased key must be gone at once
        if name in self._ciphers:
            if os.path.exists(f"{self._directory}/{name}.key"):  # noqa: PTH110 - for every record: a third of the time
                return name, self._ciphers[name]
            # deleted by hand while we ran: made again under its old name, it would make old payloads look tampered with
            self.erase(base, self._generations.get(base, 1))
            return self._current(base)
        self._generations[base] = self._next_free(base)
        name = generation_name(base, self._generations[base])
        path = self._path(name)
        if not path.exists():
            make_directories(path.parent, 0o700)
            write_atomic(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
        return name, self._load(name)

    def _next_free(self, base: str) -> int:
        generation = 1
        while self._marker(generation_name(base, generation)).exists():
            generation += 1
        return generation

    def _load(self, name: str) -> AESGCM:
        if name not in self._ciphers:
            self._ciphers[name] = AESGCM(self._path(name).read_bytes())
        return self._ciphers[name]

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.key"

    def _marker(self, name: str) -> Path:
        return self._directory / f"{name}.erased"

    @staticmethod
    def _destroy(path: Path) -> None:
        """Overwrite in place, then unlink. (On copy-on-write or flash storage old blocks may outlive this.)"""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.pwrite(descriptor, secrets.token_bytes(KEY_BYTES), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink()
        fsync_directory(path.parent)

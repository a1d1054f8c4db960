"""The vault: snapshots of output requests by their SHA-256, ``vault/sha256/ab/<64 hex>``, write-once, mode 0400.

Contract: ``store`` returns after the bytes are on disk; ``read`` returns bytes only if they still have their hash.
Content-addressed, so the same file asked for twice is held once. Non-goal: who may read.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from egress_review.domain.snapshots import sha256
from enclave.files import sync_folder

_SHA256 = re.compile(r"[0-9a-f]{64}")


class VaultError(Exception):
    """Bytes are missing or are not those that were stored. Names the hash, never content."""


class Vault:
    """The vault in ``folder`` (``settings.vault_dir``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, content: bytes) -> str:
        """Keep ``content``; returns its SHA-256 in hex. Raises VaultError if other bytes lie there, OSError if full."""
        digest = sha256(content)
        path = self._path(digest)
        if path.exists():
            self.read(digest)
            return digest
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            _write_durably(temporary, content)
            # link, not rename: it never replaces bytes that are already there.
            os.link(temporary, path)
        except FileExistsError:
            self.read(digest)
        finally:
            temporary.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent, self._folder):
            sync_folder(folder)
        return digest

    def read(self, digest: str) -> bytes:
        """The bytes whose SHA-256 is ``digest``. Raises VaultError when they are missing or altered."""
        try:
            content = self._path(digest).read_bytes()
        except OSError as error:
            raise VaultError(
                f"Expected the snapshot {digest} in the vault, found {os.strerror(error.errno or 0)}. "
                "Restore the vault from its backup; until then nothing of it is released."
            ) from error
        found = sha256(content)
        if found != digest:
            raise VaultError(
                f"Expected bytes with SHA-256 {digest} in the vault, found {found}. "
                "They were altered on disk: tell the data-protection officer; nothing of it is released."
            )
        return content

    def current_sha256(self, digest: str) -> str:
        """SHA-256 of what is held under ``digest`` now; empty when nothing can be read."""
        try:
            return sha256(self._path(digest).read_bytes())
        except OSError:
            return ""

    def _path(self, digest: str) -> Path:
        if not _SHA256.fullmatch(digest):
            raise VaultError("Expected a SHA-256 in 64 lower-case hex digits, found another text.")
        return self._folder / "sha256" / digest[:2] / digest


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

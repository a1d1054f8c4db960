"""The log's signing key, its public half and the locks that keep a second writer out."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from audit.durable import write_atomic
from audit.note import NoteSigner


class StartRefused(RuntimeError):
    """The daemon will not start; the sentence says what was found and what to do."""


def load_signer(state_dir: Path, log_dir: Path, origin: str) -> NoteSigner:
    """Load ``signing.key``, or create it for a log that does not exist yet; keep ``log.vkey`` beside it."""
    path, vkey_path = state_dir / "signing.key", state_dir / "log.vkey"
    if not path.exists():
        if (log_dir / "checkpoint").exists() or (state_dir / "wal").exists():
            raise StartRefused(
                "There is a log but no signing key (signing.key) in the state directory; restore the key from a copy."
                " A new key would cut the log off from its past."
            )
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomic(path, pem, mode=0o600)
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise StartRefused("signing.key should be an Ed25519 private key; restore it from a copy.")
    signer = NoteSigner(origin, private)
    line = f"{signer.verifier}\n"
    if not vkey_path.exists():
        write_atomic(vkey_path, line.encode(), mode=0o644)
    elif vkey_path.read_text() != line:
        raise StartRefused(
            "log.vkey was written for another name or key than these; start with the --origin the log was created with."
        )
    return signer


def lock_directories(*directories: Path) -> list[int]:
    """Lock each directory against a second writer until the process ends; raise :class:`StartRefused` when taken."""
    held: list[int] = []
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            for other in held:
                os.close(other)
            raise StartRefused(
                f"Another audit daemon is writing to {directory.name}; stop it first, one log has one writer."
            ) from error
        held.append(descriptor)
    return held

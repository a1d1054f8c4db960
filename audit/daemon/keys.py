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

from audit.daemon.hardware_key import HardwareKey, HardwareKeyError, HardwareKeySettings
from audit.durable import write_atomic
from audit.note import NoteSigner


class StartRefused(RuntimeError):
    """The daemon will not start; the sentence says what was found and what to do."""


def load_signer(state_dir: Path, log_dir: Path, origin: str, hardware: HardwareKeySettings | None = None) -> NoteSigner:
    """The log's key: in a hardware module, or in ``signing.key``. Keep ``log.vkey`` beside it; raise StartRefused."""
    signer = NoteSigner(origin, load_file_key(state_dir, log_dir) if hardware is None else open_hardware(hardware))
    vkey_path, line = state_dir / "log.vkey", f"{signer.verifier}\n"
    if not vkey_path.exists():
        write_atomic(vkey_path, line.encode(), mode=0o644)
    elif vkey_path.read_text() != line:
        raise StartRefused(
            "log.vkey was written for another name or key than these; start with the --origin the log was created with"
            " and with the key it was created with (a file or a hardware module)."
        )
    return signer


def open_hardware(settings: HardwareKeySettings) -> HardwareKey:
    """The key in the module; raise StartRefused. It is never made here: a missing one may be another token."""
    try:
        return HardwareKey(settings)
    except HardwareKeyError as error:
        raise StartRefused(str(error)) from error


def load_file_key(state_dir: Path, log_dir: Path) -> Ed25519PrivateKey:
    """Load ``signing.key``, or create it for a log that does not exist yet; raise StartRefused."""
    path = state_dir / "signing.key"
    if not path.exists():
        if any(there.exists() for there in (log_dir / "checkpoint", state_dir / "wal", state_dir / "log.vkey")):
            raise StartRefused(
                "There is a log but no signing key (signing.key) in the state directory; restore the key from a copy,"
                " or name the hardware module that holds it (--pkcs11-module). A new key would cut the log off from"
                " its past."
            )
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomic(path, pem, mode=0o600)
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise StartRefused("signing.key should be an Ed25519 private key; restore it from a copy.")
    return private


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

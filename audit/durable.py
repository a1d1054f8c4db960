"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


class DurableError(RuntimeError):
    """A file that is written once holds something else than expected; the sentence says which."""


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path, mode: int) -> None:
    """Create ``path`` and what is missing above it, with ``mode`` whatever the umask, each name durable."""
    if path.is_dir():
        return
    make_directories(path.parent, mode)
    path.mkdir(mode=mode, exist_ok=True)
    path.chmod(mode)
    fsync_directory(path.parent)


def settle_names(root: Path) -> None:
    """Make every directory's names at, below and above ``root`` (on its file system) durable.

    A process that was killed may have left names which only the kernel's cache holds; who builds on them without this
    loses them, and what stands below them, with the next power cut.
    """
    device = root.stat().st_dev
    with contextlib.suppress(PermissionError):  # where this account may not go, it made no name
        for above in root.absolute().parents:
            if above.stat().st_dev != device:
                break
            with contextlib.suppress(PermissionError):
                fsync_directory(above)
    for directory, _, _ in os.walk(root):
        fsync_directory(Path(directory))


def write_file(path: Path, data: bytes, *, mode: int, staging: Path) -> None:
    """Write through a temporary file in ``staging`` (same file system), fsync, rename. The caller fsyncs the folder."""
    temporary = staging / f".{path.name}.{secrets.token_hex(6)}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes, *, mode: int) -> None:
    """Replace ``path`` durably."""
    write_file(path, data, mode=mode, staging=path.parent)
    fsync_directory(path.parent)


def write_once(path: Path, data: bytes, *, mode: int, staging: Path) -> bool:
    """Create ``path``; True when written, False when it is there with the same bytes; else :class:`DurableError`."""
    try:
        present = path.read_bytes()
    except FileNotFoundError:
        write_file(path, data, mode=mode, staging=staging)
        return True
    if present != data:
        raise DurableError(
            f"{path.name} in {path.parent.name} is written once, but its bytes differ from the log's;"
            " run 'enclave-audit verify' on the log directory and restore the file from a copy."
        )
    return False

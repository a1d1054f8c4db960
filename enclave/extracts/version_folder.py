"""The folder of an extract version: built under a temporary name, sealed, and put in place by one rename.

``projects/<id>/extracts/.lock`` is held during a build, so whoever holds it may remove every ``.tmp-*``: those are of
builds that died. Nothing here is ever half there: a version exists with its manifest, or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enclave.domain.decisions import RefusedError
from enclave.domain.ids import ProjectId
from enclave.domain.manifest import Manifest, ManifestFile
from enclave.files import sync_folder, write_atomically
from enclave.settings import Settings

MANIFEST_FILE = "manifest.json"
_TEMPORARY = ".tmp-"
_CHUNK = 1 << 20
_LOCK_POLL_SECONDS = 0.05


class VersionError(RefusedError):
    """The version exists already, or another build of the project runs."""


def extracts_folder(settings: Settings, project: ProjectId) -> Path:
    """``projects/<id>/extracts``."""
    return settings.projects_dir / project / "extracts"


@contextmanager
def building(folder: Path, version: str) -> Iterator[Path]:
    """Hold the project's build lock, clear what dead builds left, and give a fresh temporary folder.

    The folder is removed at the end unless ``put_in_place`` renamed it. Raises VersionError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    with _locked(folder) as holds:
        if not holds:
            raise VersionError("Expected no other build of this project, found one running. Wait until it ends.")
        _remove_temporary(folder)
        if (folder / version).exists():
            raise VersionError(
                f"Expected no extract {version} yet, found one. Build the next version; extracts never change."
            )
        temporary = folder / f"{_TEMPORARY}{version}-{secrets.token_hex(4)}"
        temporary.mkdir(mode=0o755)
        try:
            yield temporary
        finally:
            if temporary.exists():
                shutil.rmtree(temporary)


def clear_stale(settings: Settings, project: ProjectId, *, seconds: float = 0) -> int:
    """Remove what dead builds left; returns how many folders. Waits up to ``seconds`` for a dying build to let go of
    the lock, and does nothing while a build runs."""
    folder = extracts_folder(settings, project)
    if not folder.is_dir():
        return 0
    with _locked(folder, seconds) as holds:
        return _remove_temporary(folder) if holds else 0


def seal_files(folder: Path) -> tuple[ManifestFile, ...]:
    """Make every file in ``folder`` read-only and durable; their hashes and sizes, by name."""
    sealed = []
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name != MANIFEST_FILE):
        path.chmod(0o444)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sealed.append(ManifestFile(path=path.name, sha256=file_sha256(path), bytes=path.stat().st_size))
    return tuple(sealed)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """``manifest.json``, read-only."""
    write_atomically(folder / MANIFEST_FILE, manifest.model_dump_json(indent=1).encode(), mode=0o444)


def put_in_place(temporary: Path, version: str) -> Path:
    """The one rename that makes the version exist. Raises OSError, and then nothing has changed."""
    target = temporary.parent / version
    temporary.rename(target)
    sync_folder(target.parent)
    return target


def file_sha256(path: Path) -> str:
    """Hash of a file, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _locked(folder: Path, seconds: float = 0) -> Iterator[bool]:
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not (holds := _try_lock(descriptor)) and time.monotonic() < deadline:
            time.sleep(_LOCK_POLL_SECONDS)
        yield holds
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_temporary(folder: Path) -> int:
    stale = [p for p in folder.iterdir() if p.name.startswith(_TEMPORARY) and p.is_dir()]
    for path in stale:
        shutil.rmtree(path)
    return len(stale)

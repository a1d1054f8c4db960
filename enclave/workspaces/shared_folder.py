"""The folder that members of a project share: ``shared`` in every member's home, and where it lies on the host.

Issue 5, "The sandbox"; ADR 0023; SATRE 2.1.07. As root it is a file system of its own: an ext4 image with as many bytes
and files as the permit gives (a quota that holds), mounted nosuid, nodev, noexec and nosymfollow. Without root it is a
plain folder whose size is measured. Everybody who has the mount may read and write everything in it (a default ACL, so
that no program's umask undoes it); the folder above belongs to root alone, so that nobody else comes near. A workspace
that ends takes its mount with it.

Contract: a folder is on record before it exists; ``enclave.destruction`` destroys it with the project. Where sockets
cannot be forbidden in it (``enclave.gateway.landlock``), there is none. Non-goal: a record of each file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from audit.client import AuditUnavailable
from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.domain.ids import ProjectId
from enclave.gateway.landlock import can_forbid_sockets
from enclave.settings import Settings
from enclave.workspaces.shared_mount import SharedMount
from enclave.workspaces.shared_sentences import Missing

_OPTIONS = "loop,nosuid,nodev,noexec,nosymfollow,noatime,errors=remount-ro"
_LEAST_MB = 16
_BYTES_PER_FILE = 16_384
_OWN_INODES = 10
"""Of the inodes, ext4 keeps the first ten for itself."""
_SUPERBLOCK = ("Inode count", "Free inodes", "Block count", "Free blocks", "Block size")
_ACL = "system.posix_acl_default"
_EVERYBODY = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, 7, 0xFFFFFFFF) for tag in (0x01, 0x04, 0x20))
"""acl(5) as the kernel stores it: version 2; owner, group and others, each rwx. It takes the umask's place."""

Record = Callable[[AuditEvent], object]


class SharedFolderError(Exception):
    """There is no shared folder to give; ``why``: what the researcher is told, the rest is for the hub's log."""

    def __init__(self, why: Missing, detail: str) -> None:
        super().__init__(detail)
        self.why = why


def find_obstacle() -> str:
    """Why this machine can offer no shared folder, or nothing."""
    if not can_forbid_sockets():
        return "the kernel cannot forbid sockets in it (Landlock 2, Linux 5.19), so workspaces have no shared folder"
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name, path=_PATH) is None]
    if os.geteuid() == 0 and (missing or not Path("/dev/loop-control").exists()):
        what = ", ".join(missing) or "loop devices"
        return f"{what} not found, so workspaces have no shared folder"
    return ""


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class SharedFolders:
    """All shared folders of one enclave. ``record`` blocks until the record is durable and raises AuditUnavailable."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self._root = settings.shared_dir
        self._record = record
        self._full: set[ProjectId] = set()

    def open(self, project: ProjectId, megabytes: int) -> SharedMount:
        """The project's folder, made and mounted when it is not yet. Raises SharedFolderError."""
        if obstacle := find_obstacle():
            raise SharedFolderError(Missing.NOT_HERE, f"There is no shared folder: {obstacle}.")
        with _locked(self._root):
            folder = self._root / project
            try:
                if not folder.exists():
                    self._create(project, folder, max(megabytes, _LEAST_MB))
                if is_image(folder) and not (folder / "files").is_mount():
                    _mount(folder)
            except AuditUnavailable as error:
                detail = "The shared folder was not made: the audit log takes no record now."
                raise SharedFolderError(Missing.NOT_RECORDED, detail) from error
            except (OSError, subprocess.SubprocessError) as error:
                detail = f"The shared folder cannot be made or mounted: {_reason(error)}."
                raise SharedFolderError(Missing.NOT_MADE, detail) from error
            return SharedMount(folder / "files", megabytes, is_measured=not is_image(folder))

    def _create(self, project: ProjectId, folder: Path, megabytes: int) -> None:
        """A half-made folder never gets its final name."""
        making = self._root / f".{project}.making"
        shutil.rmtree(making, ignore_errors=True)
        with self._on_record(_event(EventType.SHARED_FOLDER_CREATED, project, megabytes=megabytes)):
            (making / "files").mkdir(parents=True, mode=0o700)
            if os.geteuid() == 0:
                _make_image(making, megabytes)
            else:
                _open_to_members(making / "files")
            making.rename(folder)

    @contextmanager
    def _on_record(self, event: AuditEvent) -> Iterator[None]:
        """``event`` first; what then fails has a record of its own as well."""
        self._record(event)
        try:
            yield
        except (OSError, subprocess.SubprocessError):
            self._record(replace(event, type=EventType.ACTION_FAILED, counts={}, data={"event": event.type}))
            raise

    def note_fill(self, project: ProjectId) -> None:
        """Record that the folder has become full, once until it is less so. Raises AuditUnavailable."""
        folder = self._root / project
        if not is_image(folder) or not (folder / "files").is_mount():
            return
        found = os.statvfs(folder / "files")
        free = min(found.f_bavail / max(found.f_blocks, 1), found.f_favail / max(found.f_files, 1))
        if free > 0.05:
            self._full.discard(project)
        elif free < 0.01 and project not in self._full:
            used = {"files": found.f_files - found.f_ffree, "bytes": (found.f_blocks - found.f_bfree) * found.f_frsize}
            self._record(_event(EventType.SHARED_FOLDER_FULL, project, **used))
            self._full.add(project)


def close_for_good(settings: Settings, project: ProjectId) -> None:
    """Unmount the folder before it is destroyed (``enclave.destruction``). Raises OSError while somebody uses it."""
    files = settings.shared_dir / project / "files"
    with _locked(settings.shared_dir):
        _unmount(files)
        if files.is_mount():
            raise OSError(errno.EBUSY, "Expected the shared folder to be unmounted, found it in use")


def release_all(settings: Settings) -> None:
    """Unmount every shared folder; after the last workspace has ended."""
    for files in sorted(settings.shared_dir.glob("*/files")):
        _unmount(files)


def is_image(folder: Path) -> bool:
    """Does the file system keep the quota (else somebody has to measure)?"""
    return (folder / "image.ext4").exists()


def image_fill(folder: Path) -> tuple[int, int]:
    """Files and bytes in an image that is not mounted. Raises OSError when it has no readable superblock."""
    try:
        said = _run("dumpe2fs", "-h", str(folder / "image.ext4"))
        facts = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        count = {name: int(facts[name]) for name in _SUPERBLOCK}
    except (subprocess.SubprocessError, KeyError, ValueError) as error:
        raise OSError("Expected a file system in the shared folder's image, found none that can be read.") from error
    files = count["Inode count"] - count["Free inodes"] - _OWN_INODES
    own = int(facts.get("Overhead clusters", "0"))  # tables of the file system; older e2fsprogs do not say
    return max(0, files), max(0, count["Block count"] - count["Free blocks"] - own) * count["Block size"]


def _make_image(folder: Path, megabytes: int) -> None:
    image = folder / "image.ext4"
    with image.open("xb") as file:
        file.truncate(megabytes << 20)
    image.chmod(0o600)
    files = max(1024, (megabytes << 20) // _BYTES_PER_FILE)
    own = ["-E", "root_owner=0:0,nodiscard", "-O", "^resize_inode", "-J", "size=4", "-m", "0", "-N", str(files)]
    _run("mkfs.ext4", "-q", *own, str(image))


def _mount(folder: Path) -> None:
    files = folder / "files"
    _run("mount", "-t", "ext4", "-o", _OPTIONS, str(folder / "image.ext4"), str(files))
    try:
        with suppress(OSError):
            (files / "lost+found").rmdir()
        _open_to_members(files)
    except OSError:
        _unmount(files)
        raise


def _open_to_members(files: Path) -> None:
    files.chmod(0o777 if os.geteuid() == 0 else 0o700)
    if os.geteuid() == 0:  # without root all members have one account
        os.setxattr(files, _ACL, _EVERYBODY)


def _unmount(files: Path) -> None:
    """From the host's view; a sandbox that still runs keeps its own mount until it ends."""
    while files.is_mount():
        if subprocess.run(["umount", str(files)], env={"PATH": _PATH}, capture_output=True, check=False).returncode:
            return


def _run(*command: str) -> str:
    done = subprocess.run(
        command, env={"PATH": _PATH, "LC_ALL": "C"}, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One at a time: the same image mounted through two loop devices would be destroyed."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]} ended with code {error.returncode}"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__


def _event(kind: EventType, project: ProjectId, **counts: int) -> AuditEvent:
    return AuditEvent(type=kind, actor="system:workspaces", project=project, subject=project, counts=counts)

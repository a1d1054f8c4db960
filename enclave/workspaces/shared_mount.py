"""What a sandbox gets of the members' shared folder: the mount, and the program that forbids sockets in it first."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from enclave.gateway import landlock
from enclave.sandbox import Bind
from enclave.settings import REPOSITORY

NAME = "shared"
_CONFINE = Path("/opt/enclave_confine")
LAUNCHER = ("/opt/image/bin/python3.11", "-E", "-s", "-S", "-B", str(_CONFINE / "confine.py"))
"""Goes before a command; see ``workspace_images/confine/confine.py``."""


@dataclass(frozen=True)
class SharedMount:
    """A project's folder on the host, ready to be mounted."""

    files: Path
    megabytes: int
    is_measured: bool
    """No file system of its own keeps the quota: the workspace host has to measure."""

    def binds(self, home: Path) -> tuple[Bind, ...]:
        """Mounts of every sandbox; ``home`` as the sandbox sees it."""
        return (
            Bind(self.files, home / NAME, writable=True),
            Bind(REPOSITORY / "workspace_images" / "confine" / "confine.py", _CONFINE / "confine.py"),
            Bind(Path(landlock.__file__), _CONFINE / "landlock.py"),
        )


class HomeInUseError(Exception):
    """Something of this home still runs."""


def make_mount_point(home: Path, inside: Path, patience: float = 3.0) -> None:
    """A folder ``shared`` in the home, empty and real; what else stood there is kept beside it.

    Raises HomeInUseError when a sandbox that sees the home (at ``inside``) still runs after ``patience`` seconds:
    our mount would follow a link that a researcher puts there meanwhile. Once a sandbox with the mount runs, the
    name is a mount point in it, which can be neither removed nor renamed.
    """
    ends = time.monotonic() + patience
    while _is_seen(home, inside):
        if time.monotonic() > ends:
            raise HomeInUseError
        time.sleep(0.05)
    descriptor = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if _is_empty_folder(descriptor):
            return
        if _exists(descriptor, NAME):
            os.rename(NAME, _free_name(descriptor), src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.mkdir(NAME, 0o755, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _is_seen(home: Path, inside: Path) -> bool:
    """Does any process of this machine have this very folder at ``inside``?"""
    own = home.stat()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found = (process / "root" / inside.relative_to("/")).stat()
            if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
                return True
    return False


def _is_empty_folder(home: int) -> bool:
    try:
        folder = os.open(NAME, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=home)
    except OSError:
        return False
    try:
        return not os.listdir(folder)  # noqa: PTH208  (the open folder, not a path)
    finally:
        os.close(folder)


def _free_name(home: int) -> str:
    number = 1
    while _exists(home, f"{NAME}-before-{number}"):
        number += 1
    return f"{NAME}-before-{number}"


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True

"""The folder that members share: what one of them could leave there for another. Only where there is one."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from .model import Attempt, Closed, NotApplicable, Probe, Targets, target

_NULL = os.makedev(1, 3)


def _beside(targets: Targets) -> Path:
    """A name of its own in the folder."""
    return Path(target(targets, "shared")) / f".selftest-{os.getpid()}"


def _socket(targets: Targets) -> str:
    """By a relative name: a socket's address is short."""
    path = _beside(targets)
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.name)
    path.unlink()
    return "a socket could be made"


def _fifo(targets: Targets) -> str:
    path = _beside(targets)
    os.mkfifo(path)
    path.unlink()
    return "a FIFO could be made"


def _device(targets: Targets) -> str:
    path = _beside(targets)
    os.mknod(path, stat.S_IFCHR | 0o666, _NULL)
    path.unlink()
    return "a device could be made"


def _flag(name: str, number: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        if os.statvfs(target(targets, "shared")).f_flag & number:
            raise Closed(name)
        return f"it is not mounted {name}"

    return attempt


def _link(targets: Targets) -> str:
    """A colleague's program would follow it in its own home."""
    if targets.get("shared_is_plain"):
        raise NotApplicable("a plain folder, in which links are followed (without root)")
    path = _beside(targets)
    path.symlink_to("/etc/passwd")
    try:
        return f"{len(path.read_bytes())} bytes read through a link"
    finally:
        path.unlink()


def _hard_link(targets: Targets) -> str:
    """Give a second name to a file of the home."""
    own, path = Path(str(targets["scratch"])) / "own", _beside(targets)
    own.write_text("x")
    try:
        path.hardlink_to(own)
        path.unlink()
    finally:
        own.unlink()
    return "a file of the home could be named in it"


ROWS: tuple[tuple[str, str, str, Attempt], ...] = (
    ("socket", "Make a socket in the shared folder.", "Créer un socket dans le dossier partagé.", _socket),
    ("fifo", "Make a FIFO in the shared folder.", "Créer un tube nommé dans le dossier partagé.", _fifo),
    ("device", "Make a device in the shared folder.", "Créer un périphérique dans le dossier partagé.", _device),
    (
        "set-uid",
        "Have set-uid programs in the shared folder.",
        "Avoir des programmes set-uid dans le dossier partagé.",
        _flag("nosuid", os.ST_NOSUID),
    ),
    (
        "link",
        "Have a link in the shared folder followed.",
        "Faire suivre un lien dans le dossier partagé.",
        _link,
    ),
    (
        "hard-link",
        "Name a file of the home in the shared folder.",
        "Nommer dans le dossier partagé un fichier du dossier personnel.",
        _hard_link,
    ),
)
PROBES = tuple(Probe(f"shared-{name}", "shared-folder", en, fr, attempt) for name, en, fr, attempt in ROWS)

"""In which control group a process is, from ``/proc/<pid>/cgroup`` (cgroups(7)), for containers that lie apart.

Docker's driver ``cgroupfs`` puts a container where we say; the driver ``systemd`` into a scope of its own
(``/system.slice/docker-<id>.scope``). Both say so in that file, one line per hierarchy of version 1 and one, ``0::``,
for version 2. Where version 1 counts (``cpuacct``, ``memory``), version 2 does not count a second time.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

MOUNT = Path("/sys/fs/cgroup")
COUNTING = ("cpuacct", "memory")
UNIFIED = ""


def parse_groups(text: str) -> dict[str, str]:
    """Controller → path of the group below its hierarchy; ``UNIFIED`` is version 2's. Named hierarchies are left out.

    A path that leads out of the reader's own cgroup namespace (``/../…``) cannot be opened and is left out as well.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        number, colon, rest = line.partition(":")
        controllers, second, path = rest.partition(":")
        if not colon or not second or not number.isdecimal() or not path.startswith("/"):
            continue
        if ".." in PurePosixPath(path).parts:
            continue
        names = [UNIFIED] if number == "0" and not controllers else controllers.split(",")
        found |= {name: path for name in names if name == UNIFIED or "=" not in name}
    return found


def counting_folders(text: str, *, unified_at: str = "") -> tuple[Path, ...]:
    """Folders of the groups that count a process's time and memory. Pure.

    ``unified_at``: where version 2 is mounted below ``/sys/fs/cgroup`` (``unified`` on machines that have both). A
    process in the root group is in none of its own.
    """
    groups = parse_groups(text)
    first = [MOUNT / name / groups[name].lstrip("/") for name in COUNTING if groups.get(name, "/") != "/"]
    if any(name in groups for name in COUNTING):
        return tuple(first)
    path = groups.get(UNIFIED, "/")
    return () if path == "/" else (MOUNT / unified_at / path.lstrip("/"),)


def groups_apart(pids: Iterable[int], counted: Iterable[Path]) -> tuple[Path, ...]:
    """Groups of these processes beside those ``counted`` already, each once; a process that is gone has none.

    A group below a counted one is counted with it, and one that holds a counted one (the machine's own, above us) is
    not the process's alone.
    """
    own = tuple(counted) + tuple(_folders_of("self"))
    found: dict[Path, None] = {}
    for pid in pids:
        for folder in _folders_of(str(pid)):
            if not any(folder.is_relative_to(one) or one.is_relative_to(folder) for one in own):
                found[folder] = None
    return tuple(found)


def _folders_of(process: str) -> tuple[Path, ...]:
    with suppress(OSError):
        text = Path(f"/proc/{process}/cgroup").read_text()
        unified_at = "" if (MOUNT / "cgroup.controllers").exists() else "unified"
        folders = counting_folders(text, unified_at=unified_at)
        return tuple(folder.resolve() for folder in folders if folder.is_dir())
    return ()

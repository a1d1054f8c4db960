"""Bombs: does a limit stop them? Each is bounded, goes a little above what is allowed, and cleans up."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import resource
import signal
import threading
import time
from pathlib import Path

from .model import Attempt, Closed, Probe, Targets, target

_SET_PIPE_SIZE = 1031
_MEGABYTE = 1 << 20
_SECONDS = 180.0


def _processes(targets: Targets) -> str:
    """Children that only wait; all are ended and collected."""
    most, children = int(target(targets, "processes")) + 200, []
    try:
        for _ in range(most):
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise
        raise Closed(f"stopped at {len(children)}") from error
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return f"{most} processes"


def _threads(targets: Targets) -> str:
    most, ended, started = int(target(targets, "processes")) + 200, threading.Event(), []
    threading.stack_size(64 << 10)
    try:
        for _ in range(most):
            thread = threading.Thread(target=ended.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        raise Closed(f"stopped at {len(started)}") from error
    finally:
        ended.set()
    return f"{most} threads"


def _memory(targets: Targets) -> str:
    """Writable memory that is asked for and not touched."""
    size = (int(target(targets, "memory_mb")) + 2048) * _MEGABYTE
    try:
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
            return f"{size // _MEGABYTE} MB of writable memory"
    except OSError as error:
        raise Closed("refused") from error


def _memory_of_many(targets: Targets) -> str:
    """Several processes that together touch more than the workspace has; whoever is ended first was stopped."""
    each = (int(target(targets, "memory_mb")) // 3 + 64) * _MEGABYTE
    children, reports = [], os.pipe()
    for _ in range(4):
        child = os.fork()
        if child == 0:
            memory = mmap.mmap(-1, each, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            with open("/dev/zero", "rb", buffering=0) as zeros:  # noqa: PTH123
                for place in range(0, each, _MEGABYTE):
                    zeros.readinto(memoryview(memory)[place : place + _MEGABYTE])
            os.write(reports[1], b"x")
            signal.pause()
            os._exit(0)
        children.append(child)
    os.close(reports[1])
    ended, done = 0, 0
    os.set_blocking(reports[0], False)
    deadline = time.monotonic() + 60
    while ended == 0 and done < 4 and time.monotonic() < deadline:
        ended += sum(os.waitpid(child, os.WNOHANG)[0] != 0 for child in children)
        try:
            done += len(os.read(reports[0], 8))
        except BlockingIOError:
            time.sleep(0.02)
    _end(children)
    if ended or done < 4:
        raise Closed(f"stopped when {done} of 4 had their share")
    return f"{4 * each // _MEGABYTE} MB were used at once"


def _end(children: list[int]) -> None:
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def _fill(file: Path, megabytes: int) -> int:
    """Megabytes that a file got before somebody stopped it."""
    handle = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600)
    done = 0
    try:
        while done < megabytes:
            os.posix_fallocate(handle, done * _MEGABYTE, 8 * _MEGABYTE)
            done += 8
    finally:
        os.close(handle)
    return done


def _tmpfs(path: str, megabytes: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        file = Path(path) / f"selftest-fill-{os.getpid()}"
        try:
            return f"{_fill(file, megabytes)} MB in {path}"
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise Closed(f"stopped at {file.stat().st_size // _MEGABYTE} MB") from error
            raise
        finally:
            file.unlink(missing_ok=True)

    return attempt


def _disk(targets: Targets) -> str:
    """More than the home may hold; then wait whether writing is stopped, as long as the watch may take."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file = _scratch(targets) / "disk-bomb"
    try:
        _fill(file, int(target(targets, "disk_mb")) + 64)
        ends = time.monotonic() + float(target(targets, "disk_seconds"))
        while time.monotonic() < ends:
            with file.open("ab") as more:
                more.write(b"x" * 4096)
            time.sleep(0.25)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Closed("writing was stopped") from error
        raise
    finally:
        file.unlink(missing_ok=True)
    return f"{int(targets['disk_mb']) + 64} MB in a home for {targets['disk_mb']} MB"


def _scratch(targets: Targets) -> Path:
    return Path(str(targets["scratch"]))


def _sparse(targets: Targets) -> str:
    """A file of a terabyte that holds nothing."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file = _scratch(targets) / "sparse"
    try:
        with file.open("wb") as hole:
            hole.truncate(1 << 40)
    finally:
        file.unlink(missing_ok=True)
    return "a file of a terabyte"


def _inodes(targets: Targets) -> str:
    """Empty files by the thousand, each also a name in a folder; then a few more for as long as the watch may take."""
    folder, most, made = _scratch(targets) / "many", int(target(targets, "inodes")), 0
    folder.mkdir(exist_ok=True)
    ends = time.monotonic() + float(target(targets, "inode_seconds"))
    try:
        while made < most or time.monotonic() < ends:
            os.close(os.open(folder / str(made), os.O_CREAT | os.O_WRONLY))
            made += 1
            if made > most:
                time.sleep(0.05)
    except OSError as error:
        raise Closed(f"stopped at {made}") from error
    finally:
        for number in range(made):
            os.unlink(folder / str(number))  # noqa: PTH108
        folder.rmdir()
    return f"{most} empty files"


def _descriptors(targets: Targets) -> str:
    opened, most = [], 8192
    try:
        for _ in range(most):
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise Closed(f"stopped at {len(opened)}") from error
    finally:
        for one in opened:
            os.close(one)
    return f"{most} open files"


def _pipes(targets: Targets) -> str:
    """Pipes hold memory of the kernel's, which no limit on memory sees."""
    opened: list[int] = []
    try:
        for _ in range(256):
            opened += os.pipe()
            fcntl.fcntl(opened[-1], _SET_PIPE_SIZE, _MEGABYTE)
    except OSError as error:
        raise Closed(f"stopped at {len(opened) // 2} MB") from error
    finally:
        for one in opened:
            os.close(one)
    return "256 pipes of a megabyte"


def _core(targets: Targets) -> str:
    """A crash must not leave a copy of its memory on the host's disk."""
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0:
        raise Closed("core dumps are off")
    return "a crash would write its memory to disk"


_PLACES = {"disk": ("kernel",), "inodes": ("kernel",)}
"""The home is the same one, and its watch takes its time."""
_ALONE = frozenset({"inodes"})
"""Who makes too many files ends with the kernel it runs in."""

PROBES = tuple(
    Probe(
        f"bomb-{name}",
        "bombs",
        en,
        fr,
        attempt,
        _SECONDS,
        places=_PLACES.get(name, ("server", "kernel")),
        alone=name in _ALONE,
    )
    for name, en, fr, attempt in (
        ("processes", "Start more processes than allowed.", "Lancer plus de processus que permis.", _processes),
        ("threads", "Start more threads than allowed.", "Lancer plus de fils d'exécution que permis.", _threads),
        ("memory", "Ask for more memory than allowed.", "Demander plus de mémoire que permis.", _memory),
        (
            "memory-together",
            "Use more memory than allowed in several processes.",
            "Utiliser plus de mémoire que permis à plusieurs processus.",
            _memory_of_many,
        ),
        ("disk", "Fill the home beyond its size.", "Remplir le dossier personnel au-delà de sa taille.", _disk),
        ("sparse", "Make a file of a terabyte without content.", "Créer un fichier vide d'un téraoctet.", _sparse),
        (
            "inodes",
            "Make thousands of empty files.",
            "Créer des milliers de fichiers vides.",
            _inodes,
        ),
        ("tmp", "Fill /tmp.", "Remplir /tmp.", _tmpfs("/tmp", 768)),  # noqa: S108
        ("shm", "Fill /dev/shm.", "Remplir /dev/shm.", _tmpfs("/dev/shm", 768)),  # noqa: S108
        (
            "descriptors",
            "Open thousands of files at once.",
            "Ouvrir des milliers de fichiers à la fois.",
            _descriptors,
        ),
        ("pipes", "Fill the kernel with pipes.", "Remplir le noyau de tubes.", _pipes),
        ("core", "Leave a memory image by crashing.", "Laisser une image mémoire en plantant.", _core),
    )
)

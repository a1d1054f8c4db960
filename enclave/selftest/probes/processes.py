"""Other processes: seeing, signalling, reading and tracing them; the wall between a kernel and its own server."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from .calls import LIBC, call
from .model import Attempt, Closed, Probe, Targets, target

_SECRET = ctypes.create_string_buffer(b"memory of the process above", 32)
"""Made before any fork: at the same address in the runner and in each probe's own process."""


def _named(mark: str) -> Iterator[Path]:
    """Folders of /proc of processes whose command names ``mark``, except our own."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if mark in words and folder.name not in (str(os.getpid()), str(os.getppid())):
            yield folder


def _outside(targets: Targets) -> list[Path]:
    found = list(_named(target(targets, "mark")))
    if not found:
        raise Closed("not seen")
    return found


def _see(targets: Targets) -> str:
    return f"{len(_outside(targets))} processes from outside are listed"


def _file_of_outside(name: str, mode: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        os.close(os.open(_outside(targets)[0] / name, mode))
        return f"{name} of a process outside could be opened"

    return attempt


def _list_of_outside(name: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        return f"{len(list((_outside(targets)[0] / name).iterdir()))} entries"

    return attempt


def _signal_number(targets: Targets) -> str:
    """By the number it has outside, provided that nobody of ours has that number here."""
    number = int(target(targets, "victim"))
    if Path(f"/proc/{number}").exists() and Path(f"/proc/{number}") not in _named(target(targets, "mark")):
        raise Closed("another process has that number here")
    os.kill(number, 0)
    return "a process outside can be signalled"


def _pidfd(targets: Targets) -> str:
    opened = os.pidfd_open(int(_outside(targets)[0].name))
    try:
        signal.pidfd_send_signal(opened, 0)
    finally:
        os.close(opened)
    return "a process outside can be signalled through a descriptor"


def _affinity(targets: Targets) -> str:
    number = int(_outside(targets)[0].name)
    os.sched_setaffinity(number, os.sched_getaffinity(number))
    return "a process outside can be moved between processors"


def _limits(targets: Targets) -> str:
    import resource

    number = int(_outside(targets)[0].name)
    resource.prlimit(number, resource.RLIMIT_CORE, resource.prlimit(number, resource.RLIMIT_CORE))
    return "a process outside can be limited"


def _ptrace(number: int) -> str:
    call("ptrace", 0x4206, number, 0, 0)  # PTRACE_SEIZE: does not stop it
    return "a process can be traced"


def _trace_above(targets: Targets) -> str:
    return _ptrace(os.getppid())


def _trace_child(targets: Targets) -> str:
    child = os.fork()
    if child == 0:
        os._exit(0 if LIBC.ptrace(0, 0, 0, 0) == 0 else 1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise Closed("refused")
    return "a process may have itself traced"


def _first(name: str, mode: int) -> Attempt:
    """A file of process 1 of this sandbox, which belongs to what keeps the sandbox."""

    def attempt(targets: Targets) -> str:
        if os.getppid() <= 1 or os.getpid() == 1 or _is_ours(1):
            raise Closed("process 1 is the probe's own")
        opened = os.open(f"/proc/1/{name}", mode)
        try:
            if mode == os.O_RDONLY:
                return f"{len(os.read(opened, 64))} bytes of process 1"
        finally:
            os.close(opened)
        return f"{name} of process 1 could be opened for writing"

    return attempt


def _is_ours(number: int) -> bool:
    try:
        words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.endswith(b"selftest.pyz") for word in words[1:2])


def _first_root(targets: Targets) -> str:
    """The root folder as process 1 has it, where that is another one than ours."""
    theirs, ours = os.stat("/proc/1/root/"), os.stat("/")  # noqa: PTH116
    if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino) and not targets.get("unconfined"):
        raise Closed("the same root")
    return f"{len(list(Path('/proc/1/root').iterdir()))} entries"


def _memory_above(name: str) -> Attempt:
    """Another process's memory, read or written at a known address."""

    def attempt(targets: Targets) -> str:
        own = ctypes.create_string_buffer(32)
        here = struct.pack("PN", ctypes.addressof(own), 16)
        there = struct.pack("PN", ctypes.addressof(_SECRET), 16)
        done = call(name, os.getppid(), here, 1, there, 1, 0)
        return f"{done} bytes of another process"

    return attempt


def _madvise(targets: Targets) -> str:
    process = call("pidfd_open", os.getppid(), 0)
    try:
        vector = struct.pack("PN", ctypes.addressof(_SECRET) & ~0xFFF, 4096)
        call("process_madvise", process, vector, 1, 20, 0)
    finally:
        os.close(process)
    return "another process's memory could be advised"


# --- the wall between the server and a kernel ---


def _server(targets: Targets) -> Path:
    found = next(_named(target(targets, "server_mark")), None)
    if found is None:
        raise Closed("not seen")
    return found


def _server_seen(targets: Targets) -> str:
    _server(targets)
    return "the server's process is listed"


def _server_file(name: str, mode: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        os.close(os.open(_server(targets) / name, mode))
        return f"{name} of the server could be opened"

    return attempt


def _server_signal(targets: Targets) -> str:
    os.kill(int(_server(targets).name), 0)
    return "the server can be signalled"


def _other_kernel(targets: Targets) -> str:
    other = target(targets, "other_kernel")
    if other not in os.listdir(target(targets, "kernels_folder")):  # noqa: PTH208
        raise Closed("not seen")
    return "another kernel's folder is listed"


def _other_connection(targets: Targets) -> str:
    path = Path(target(targets, "kernels_folder")) / target(targets, "other_kernel") / "kernel.json"
    return f"{len(path.read_bytes())} bytes of another kernel's connection file"


def _channel(targets: Targets) -> str:
    """The channel on which a server orders kernels."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            with socket.socket(fileno=os.dup(int(name))) as found:
                if found.family == socket.AF_UNIX and found.type == socket.SOCK_SEQPACKET:
                    return "the host's channel is among the open descriptors"
        except OSError:
            continue
    if "ENCLAVE_HOST_FD" in os.environ:
        return "the host's channel is named in the environment"
    raise Closed("none")


_R, _RW = os.O_RDONLY, os.O_RDWR


def _p(name: str, english: str, french: str, attempt: Attempt) -> Probe:
    return Probe(name, "processes", english, french, attempt)


def _w(name: str, english: str, french: str, attempt: Attempt) -> Probe:
    return Probe(name, "server-wall", english, french, attempt, places=("kernel",))


PROBES = (
    _p("process-seen", "See a process outside.", "Voir un processus extérieur.", _see),
    _p("process-environ", "Read its environment.", "Lire son environnement.", _file_of_outside("environ", _R)),
    _p("process-mem", "Open its memory.", "Ouvrir sa mémoire.", _file_of_outside("mem", _RW)),
    _p("process-maps", "Read the map of its memory.", "Lire la carte de sa mémoire.", _file_of_outside("maps", _R)),
    _p("process-fd", "List its open files.", "Lister ses fichiers ouverts.", _list_of_outside("fd")),
    _p("process-root", "Go through its root folder.", "Passer par sa racine.", _list_of_outside("root")),
    _p("process-cwd", "Go through its working folder.", "Passer par son dossier de travail.", _list_of_outside("cwd")),
    _p("process-signal", "Signal it by number.", "Lui envoyer un signal par son numéro.", _signal_number),
    _p("process-pidfd", "Signal it through a descriptor.", "Lui envoyer un signal par un descripteur.", _pidfd),
    _p("process-affinity", "Move it between processors.", "Le déplacer entre processeurs.", _affinity),
    _p("process-limits", "Limit it.", "Le limiter.", _limits),
    _p("trace-above", "Trace the process above.", "Tracer le processus parent.", _trace_above),
    _p("trace-child", "Have a process traced.", "Faire tracer un processus.", _trace_child),
    _p(
        "memory-read",
        "Read another process's memory.",
        "Lire la mémoire d'un autre processus.",
        _memory_above("process_vm_readv"),
    ),
    _p(
        "memory-write",
        "Write another process's memory.",
        "Écrire dans la mémoire d'un autre processus.",
        _memory_above("process_vm_writev"),
    ),
    _p(
        "memory-advise",
        "Have another process's memory dropped.",
        "Faire libérer la mémoire d'un autre processus.",
        _madvise,
    ),
    _p(
        "first-environ",
        "Read the environment of process 1.",
        "Lire l'environnement du processus 1.",
        _first("environ", _R),
    ),
    _p("first-memory", "Open the memory of process 1.", "Ouvrir la mémoire du processus 1.", _first("mem", _RW)),
    _p("first-root", "Go through the root of process 1.", "Passer par la racine du processus 1.", _first_root),
    _w("server-seen", "See the Jupyter server's process.", "Voir le processus du serveur Jupyter.", _server_seen),
    _w("server-mem", "Open the server's memory.", "Ouvrir la mémoire du serveur.", _server_file("mem", _RW)),
    _w(
        "server-environ",
        "Read the server's environment.",
        "Lire l'environnement du serveur.",
        _server_file("environ", _R),
    ),
    _w(
        "server-maps",
        "Read the map of the server's memory.",
        "Lire la carte de la mémoire du serveur.",
        _server_file("maps", _R),
    ),
    _w("server-signal", "Signal the server.", "Envoyer un signal au serveur.", _server_signal),
    _w("server-channel", "Hold the channel that starts kernels.", "Détenir le canal qui lance les noyaux.", _channel),
    _w("kernel-other-folder", "See another kernel's folder.", "Voir le dossier d'un autre noyau.", _other_kernel),
    _w("kernel-other-key", "Read another kernel's key.", "Lire la clé d'un autre noyau.", _other_connection),
)

"""Becoming more than one is: accounts, capabilities, set-uid programs, priorities."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import subprocess
from pathlib import Path

from .calls import LIBC
from .model import Attempt, Closed, NotApplicable, Probe, Targets

_NO_NEW_PRIVILEGES = 39


def _checked(found: int) -> int:
    if found == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


def _is_root(targets: Targets) -> str:
    if 0 not in (os.getuid(), os.geteuid(), os.getgid(), os.getegid()):
        raise Closed("an account of its own")
    return "it runs as root"


def _becomes(name: str, *ids: int) -> Attempt:
    """In a child: take an account's number."""

    def attempt(targets: Targets) -> str:
        child = os.fork()
        if child == 0:
            try:
                getattr(os, name)(*ids) if ids else os.setgroups([0])
            except OSError as error:
                os._exit(min(error.errno or 1, 200))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            raise OSError(code, os.strerror(code))
        return "root's number was taken"

    return attempt


def _groups(targets: Targets) -> str:
    others = [group for group in os.getgroups() if group != os.getgid()]
    if not others:
        raise Closed("none")
    return f"{len(others)} groups beside its own"


def _capabilities(line: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        for found in Path("/proc/self/status").read_text().splitlines():
            if found.startswith(line):
                mask = int(found.split()[1], 16)
                if not mask:
                    raise Closed("none")
                return f"{mask.bit_count()} capabilities"
        raise NotApplicable("this kernel does not say")

    return attempt


def _no_new_privileges(targets: Targets) -> str:
    if LIBC.prctl(_NO_NEW_PRIVILEGES, 0, 0, 0, 0) == 1:
        raise Closed("the flag is set")
    return "a program may still gain privileges"


def _seccomp(targets: Targets) -> str:
    """2: a filter is on."""
    if LIBC.prctl(21, 0, 0, 0, 0) == 2:
        raise Closed("a filter is on")
    return "no filter of system calls"


def _set_uid_program(targets: Targets) -> str:
    """Run a set-uid program of root; what it may then do shows in the capabilities it starts with."""
    for path in (Path(name) for name in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/bin/su", "/bin/mount")):
        try:
            found = path.stat()
        except OSError:
            continue
        if found.st_mode & stat.S_ISUID and found.st_uid == 0:
            break
    else:
        raise Closed("no set-uid program of root is here")
    if LIBC.prctl(_NO_NEW_PRIVILEGES, 0, 0, 0, 0) == 1:
        raise Closed("a set-uid program is here, but it gains nothing")
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        raise Closed("a set-uid program is here, but its bit is not looked at")
    done = subprocess.run([str(path), "--version"], capture_output=True, timeout=5, check=False)
    return f"a set-uid program of root ran (code {done.returncode})"


def _file_capability(targets: Targets) -> str:
    """Mark a file of its own so that whoever runs it gets a capability."""
    file = Path(str(targets["scratch"])) / "capable"
    file.write_text("x")
    value = (0x02000001).to_bytes(4, "little") + (1 << 21).to_bytes(4, "little") + bytes(12)
    try:
        os.setxattr(file, "security.capability", value)
    finally:
        file.unlink()
    return "a file could be given a capability"


def _raise_capabilities(targets: Targets) -> str:
    """Ask for all of them back."""
    head = (0x20080522).to_bytes(4, "little") + bytes(4)
    data = b"\xff" * 4 + b"\xff" * 4 + bytes(4) + b"\xff\x01\x00\x00" * 2 + bytes(4)
    before = ctypes.create_string_buffer(24)
    _checked(LIBC.capget(ctypes.create_string_buffer(head), before))
    if not any(before.raw):
        _checked(LIBC.capset(ctypes.create_string_buffer(head), ctypes.create_string_buffer(data)))
        return "capabilities could be taken"
    return "capabilities are there already"


def _priority(targets: Targets) -> str:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, before - 1)
    return "it could put itself before others"


def _real_time(targets: Targets) -> str:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "it could take the processor for itself"


def _raise_limit(name: str) -> Attempt:
    def attempt(targets: Targets) -> str:
        number = getattr(resource, name)
        _, hard = resource.getrlimit(number)
        if hard == resource.RLIM_INFINITY:
            return "there is no limit"
        try:
            resource.setrlimit(number, (hard, hard + 1))
        except ValueError as error:
            raise Closed("it cannot be raised") from error
        return "the limit could be raised"

    return attempt


def _locked_memory(targets: Targets) -> str:
    """Keep 64 MB from ever being swapped out."""
    size = 64 << 20
    LIBC.mmap.restype = ctypes.c_void_p
    place = LIBC.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
    if place in (None, ctypes.c_void_p(-1).value):
        raise OSError(errno.ENOMEM, "no memory")
    _checked(LIBC.mlock(ctypes.c_void_p(place), ctypes.c_size_t(size)))
    return "64 MB could be locked"


ROWS: tuple[tuple[str, str, str, Attempt], ...] = (
    ("root", "Be root.", "Être root.", _is_root),
    ("setresuid", "Become root.", "Devenir root.", _becomes("setresuid", 0, 0, 0)),
    ("setresgid", "Take root's group.", "Prendre le groupe de root.", _becomes("setresgid", 0, 0, 0)),
    ("setgroups", "Take further groups.", "Prendre d'autres groupes.", _becomes("setgroups")),
    ("groups", "Hold further groups.", "Détenir d'autres groupes.", _groups),
    ("effective", "Hold a capability in force.", "Détenir une capacité en vigueur.", _capabilities("CapEff")),
    ("permitted", "Hold a permitted capability.", "Détenir une capacité permise.", _capabilities("CapPrm")),
    ("bounding", "Be able to gain a capability.", "Pouvoir acquérir une capacité.", _capabilities("CapBnd")),
    ("capset", "Ask for capabilities.", "Demander des capacités.", _raise_capabilities),
    ("file-capability", "Give a file a capability.", "Donner une capacité à un fichier.", _file_capability),
    (
        "no-new-privileges",
        "Run without the flag that stops set-uid.",
        "S'exécuter sans le drapeau qui bloque set-uid.",
        _no_new_privileges,
    ),
    ("set-uid-program", "Run a set-uid program of root.", "Exécuter un programme set-uid de root.", _set_uid_program),
    ("seccomp", "Run without a filter of system calls.", "S'exécuter sans filtre d'appels système.", _seccomp),
    ("priority", "Put itself before others.", "Passer avant les autres.", _priority),
    ("real-time", "Take the processor for itself.", "Accaparer le processeur.", _real_time),
    ("lock-memory", "Lock 64 MB of memory.", "Verrouiller 64 Mo de mémoire.", _locked_memory),
    (
        "raise-processes",
        "Raise its limit of processes.",
        "Relever sa limite de processus.",
        _raise_limit("RLIMIT_NPROC"),
    ),
    (
        "raise-files",
        "Raise its limit of open files.",
        "Relever sa limite de fichiers ouverts.",
        _raise_limit("RLIMIT_NOFILE"),
    ),
    ("raise-core", "Write core dumps.", "Écrire des images mémoire.", _raise_limit("RLIMIT_CORE")),
)

PROBES = tuple(Probe(f"privilege-{name}", "privilege", en, fr, attempt) for name, en, fr, attempt in ROWS)

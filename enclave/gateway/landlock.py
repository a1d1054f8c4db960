"""Landlock (Linux 5.13+) through ctypes: a process gives up, for good, every file and port it does not need.

Contract: ``restrict`` is called once, before any thread is started, because it binds the calling thread and whatever
that starts later. No privilege is needed. A kernel without Landlock changes nothing and returns 0: the caller says so
to the operator. It is a second wall inside bubblewrap; numbers are those of linux/landlock.h. SATRE 3.2.03.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_RULE_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
"""Every right over files of the first version: read, write, execute, make and remove of each kind."""
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_READ = _EXECUTE | _READ_FILE | _READ_FOLDER
_MAKE_AND_REMOVE = _WRITE_FILE | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | _REFER | _TRUNCATE
"""Write, remove folder, remove file, make folder, make plain file, move between granted folders, truncate."""
_MAKE_SPECIAL = (1 << 6) | (1 << 9) | (1 << 10) | (1 << 11)
"""Make character devices, sockets, FIFOs and block devices."""
_MOVES_SINCE = 2
"""Before this version, a process with any rule may move no file between two folders."""
_TCP = 3
_SIGNALS_AND_ABSTRACT_SOCKETS = 3


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


class LandlockError(OSError):
    """The kernel has Landlock but refuses our rules."""


def landlock_version() -> int:
    """The kernel's Landlock ABI; 0 when there is none (or a sandbox forbids asking)."""
    found = _LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    return max(0, int(found))


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Allow reading below ``readable``, reading and writing below ``writable``, nothing else; no TCP, no signals out.

    Paths that do not exist are left out. Returns the ABI in force, 0 without Landlock. Raises LandlockError.
    """
    version = landlock_version()
    if version == 0:
        return 0
    handled = _handled_rights(version)
    rules = _Ruleset(handled, _TCP if version >= 4 else 0, _SIGNALS_AND_ABSTRACT_SOCKETS if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in readable:
            _allow(ruleset, path, _READ & handled)
        for path in writable:
            _allow(ruleset, path, (_READ & ~_EXECUTE | _MAKE_AND_REMOVE) & handled)
        _enforce(ruleset)
    finally:
        os.close(ruleset)
    return version


def can_forbid_sockets() -> bool:
    """Can ``forbid_sockets_but_below`` hold here without taking more than it says?"""
    return landlock_version() >= _MOVES_SINCE


def forbid_sockets_but_below(folders: Iterable[Path]) -> None:
    """No socket, FIFO or device node can be made any more, but below ``folders``; everything else stays allowed.

    Holds for what is moved or linked there as well. Raises LandlockError where it would not hold (fail closed).
    """
    if not can_forbid_sockets():
        raise LandlockError(errno.ENOSYS, "Expected a kernel with Landlock 2 or later (Linux 5.19), found none.")
    rules = _Ruleset(_MAKE_SPECIAL | _REFER, 0, 0)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(8), ctypes.c_uint32(0))
    try:
        _allow(ruleset, Path("/"), _REFER)
        for path in folders:
            _allow(ruleset, path, _MAKE_SPECIAL | _REFER)
        _enforce(ruleset)
    finally:
        os.close(ruleset)


def _enforce(ruleset: int) -> None:
    if _LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise LandlockError(ctypes.get_errno(), "Expected to give up new privileges, found a refusal.")
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))


def _handled_rights(version: int) -> int:
    rights = _FIRST_RIGHTS
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE)):
        if version >= since:
            rights |= right
    return rights


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FOR_FILES
        if not rights:
            return
        rule = _PathBeneath(rights, descriptor)
        _call(
            _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
        )
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    found = _LIBC.syscall(number, *arguments)
    if found < 0:
        code = ctypes.get_errno()
        raise LandlockError(code, f"Expected Landlock to take our rules, found {os.strerror(code)}.")
    return int(found)

"""The system calls a sandbox of ours may make: an allow-list, compiled to BPF by libseccomp (through ``pyseccomp``).

One table of rules for both engines: bubblewrap gets the BPF program, Docker the same rules in its JSON form. The names
in ``seccomp_allowed.txt`` are those that containers-common 0.50 allows a container without capabilities, less what is
in ``DENIED`` (``scripts/generate-seccomp`` makes the file). A denied call answers EPERM; one that no list knows, as of
a newer kernel, answers ENOSYS, so that the C library takes the older way. ``clone3`` answers ENOSYS because
its flags cannot be seen; ``clone`` may make no namespace. Sockets: unix, TCP and UDP, and NETLINK_ROUTE,
without which libzmq cannot list interfaces and no kernel starts (measured). Landlock's calls are for the workers.
Non-goal: foreign architectures; a 32-bit program is killed.
"""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import pyseccomp

DENIED = frozenset(
    """
    acct add_key bpf chroot clock_adjtime clock_settime create_module delete_module fanotify_init finit_module
    fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy init_module io_uring_enter io_uring_register
    io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind memfd_secret
    migrate_pages mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree
    perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace
    query_module quotactl quotactl_fd reboot request_key set_mempolicy setdomainname sethostname setns settimeofday
    stime swapoff swapon sysfs syslog umount umount2 unshare userfaultfd uselib ustat vhangup vm86 vm86old vmsplice
    """.split()
)
"""Known and refused: kernel keyrings, namespaces and mounts, other processes' memory, io_uring, tracing, devices."""

CONDITIONAL = frozenset(("clone", "clone3", "mknod", "mknodat", "personality", "socket"))
"""Calls whose arguments decide."""

_NAMES = Path(__file__).with_name("seccomp_allowed.txt")
_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag that clone(2) takes
_EQ, _GT, _MASKED, _NE = "SCMP_CMP_EQ", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"
_OPERATORS = {_EQ: pyseccomp.EQ, _GT: pyseccomp.GT, _MASKED: pyseccomp.MASKED_EQ, _NE: pyseccomp.NE}
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_STREAM_AND_DATAGRAM = ((1, 6), (2, 17))  # kind, and the one protocol of it: no SCTP, MPTCP, UDP-Lite, L2TP
_TYPE_MASK = 0xF
_FIFO, _FORMAT_MASK = 0o010000, 0o170000
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)  # asking, and the few harmless ones


@dataclass(frozen=True)
class Condition:
    """``operator`` over one argument; for a masked comparison ``value`` is the mask and ``masked`` the outcome."""

    index: int
    operator: str
    value: int
    masked: int = 0


@dataclass(frozen=True)
class Rule:
    """What happens to these calls when all conditions hold. ``refusal``: the error number; None allows."""

    names: tuple[str, ...]
    refusal: int | None
    conditions: tuple[Condition, ...] = ()


_CLONE3 = Rule(("clone3",), errno.ENOSYS)
"""For Docker before 23, which overlooks ``defaultErrnoRet``: with EPERM the C library would start no thread (measured).
libseccomp takes no rule that says what the default says."""


@cache
def allowed_names() -> tuple[str, ...]:
    """Allowed whatever the arguments, sorted."""
    lines = _NAMES.read_text().splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def rules() -> tuple[Rule, ...]:
    """The whole table; conditions on one call exclude each other, so order does not matter."""
    fifo = tuple(
        Rule((name,), None, (Condition(index, _MASKED, _FORMAT_MASK, _FIFO),))
        for name, index in (("mknod", 1), ("mknodat", 2))
    )
    return (
        Rule(allowed_names(), None),
        Rule(tuple(sorted(DENIED)), errno.EPERM),
        Rule(("clone",), None, (Condition(0, _MASKED, _NAMESPACES, 0),)),
        *(Rule(("personality",), None, (Condition(0, _EQ, value),)) for value in _PERSONALITIES),
        *fifo,
        *_sockets(),
    )


def _sockets() -> tuple[Rule, ...]:
    """Families that programs only try out get the answer they expect, not ENOSYS."""
    family = {number: Condition(0, _EQ, number) for number in range(_AF_NETLINK + 1)}
    refused = [(Condition(0, _GT, _AF_NETLINK),)]
    refused += [(family[n],) for n in family if n not in (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK)]
    allowed = [(family[_AF_UNIX],), (family[_AF_NETLINK], Condition(2, _EQ, 0))]
    for number in (_AF_INET, _AF_INET6):
        for kind, protocol in _STREAM_AND_DATAGRAM:
            conditions = (family[number], Condition(1, _MASKED, _TYPE_MASK, kind))
            allowed += [(*conditions, Condition(2, _EQ, usual)) for usual in (0, protocol)]
    return (
        *(Rule(("socket",), None, conditions) for conditions in allowed),
        *(Rule(("socket",), errno.EAFNOSUPPORT, conditions) for conditions in refused),
    )


def docker_profile() -> dict[str, Any]:
    """The same rules as Docker's ``--security-opt seccomp=FILE`` wants them."""
    entries = []
    for rule in (*rules(), _CLONE3):
        entry: dict[str, Any] = {"names": list(rule.names), "action": "SCMP_ACT_ALLOW", "args": []}
        if rule.refusal is not None:
            entry |= {"action": "SCMP_ACT_ERRNO", "errnoRet": rule.refusal}
        for c in rule.conditions:
            entry["args"].append({"index": c.index, "value": c.value, "valueTwo": c.masked, "op": c.operator})
        entries.append(entry)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "archMap": [{"architecture": f"SCMP_ARCH_{a}", "subArchitectures": []} for a in ("X86_64", "AARCH64")],
        "syscalls": entries,
    }


def _argument(condition: Condition) -> Any:
    operator = _OPERATORS[condition.operator]
    if condition.operator == _MASKED:
        return pyseccomp.Arg(condition.index, operator, condition.value, condition.masked)
    return pyseccomp.Arg(condition.index, operator, condition.value)


def _build(table: tuple[Rule, ...]) -> pyseccomp.SyscallFilter:
    program = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.ENOSYS))
    for rule in table:
        action = pyseccomp.ALLOW if rule.refusal is None else pyseccomp.ERRNO(rule.refusal)
        for name in rule.names:
            if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
                program.add_rule(action, name, *map(_argument, rule.conditions))
    return program


@cache
def compiled() -> bytes:
    """The BPF program of this machine's architecture; made once per process."""
    with tempfile.TemporaryFile() as file:
        _build(rules()).export_bpf(file)
        file.seek(0)
        return file.read()


def write_filter(file: IO[bytes]) -> None:
    """Write the BPF program to an open file, as ``bwrap --seccomp FD`` wants it."""
    file.write(compiled())


def filter_descriptor() -> int:
    """An inheritable descriptor positioned at the start of the program; the caller closes it."""
    descriptor = os.memfd_create("seccomp", 0)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        write_filter(file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

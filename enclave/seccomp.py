"""The system calls no sandbox of ours may make, compiled to BPF by libseccomp (through ``pyseccomp``).

What is denied follows what container engines deny by default, and three things they allow: io_uring, AF_VSOCK (it
leaves a network namespace) and ptrace. NETLINK_ROUTE stays, or libzmq cannot list interfaces and no kernel starts
(measured). ``clone3`` answers ENOSYS so that the C library falls back to ``clone``, whose flags we can see.
Non-goal: an allow-list; this filter is the second wall behind namespaces and dropped capabilities.
"""

from __future__ import annotations

import errno
import os
from typing import IO

import pyseccomp

DENIED = """
    acct add_key bpf chroot clock_adjtime clock_settime create_module delete_module fanotify_init finit_module
    fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy init_module io_uring_enter io_uring_register
    io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind memfd_secret mount
    mount_setattr move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open
    personality pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace query_module
    quotactl quotactl_fd reboot request_key set_mempolicy setdomainname sethostname setns settimeofday stime swapoff
    swapon sysfs syslog umount umount2 unshare userfaultfd uselib ustat vhangup vm86 vm86old
""".split()

_CLONE_NAMESPACES = (0x00000080, 0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _NETLINK_ROUTE = 1, 2, 10, 16, 0


def _build() -> pyseccomp.SyscallFilter:
    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
    denied = pyseccomp.ERRNO(errno.EPERM)
    for name in DENIED:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(denied, name)
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    for flag in _CLONE_NAMESPACES:
        rules.add_rule(denied, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    _restrict_sockets(rules)
    return rules


def _restrict_sockets(rules: pyseccomp.SyscallFilter) -> None:
    refused = pyseccomp.ERRNO(errno.EAFNOSUPPORT)
    allowed = {_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK}
    for family in range(_AF_NETLINK):
        if family not in allowed:
            rules.add_rule(refused, "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    rules.add_rule(refused, "socket", pyseccomp.Arg(0, pyseccomp.GT, _AF_NETLINK))
    rules.add_rule(
        refused,
        "socket",
        pyseccomp.Arg(0, pyseccomp.EQ, _AF_NETLINK),
        pyseccomp.Arg(2, pyseccomp.NE, _NETLINK_ROUTE),
    )


def write_filter(file: IO[bytes]) -> None:
    """Write the BPF program to an open file, as ``bwrap --seccomp FD`` wants it."""
    _build().export_bpf(file)


def filter_descriptor() -> int:
    """An inheritable descriptor positioned at the start of the program; the caller closes it."""
    descriptor = os.memfd_create("seccomp", 0)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        write_filter(file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

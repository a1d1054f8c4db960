"""Inside the sandbox: what a process gives up before it reads the first hostile byte.

Around it stands what every sandbox of ours has (``enclave.sandbox``). The waiting process cannot be looked into by
those it makes (``hide``); they in turn have hard limits and a filter of system calls that leaves reading and writing
what is open, memory, and the end: no file can be opened, no process or thread made, no signal sent, no socket, no
memory made executable. Raises OSError where a wall cannot be set up: then nothing is read.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
from pathlib import Path

import pyseccomp

_SET_DUMPABLE = 4
_SHIFT = 20
_EXECUTABLE = 4  # PROT_EXEC
_LEFT = """
read write close lseek munmap mremap brk madvise futex exit exit_group rt_sigreturn rt_sigprocmask rt_sigaction
sigaltstack getrandom clock_gettime gettimeofday restart_syscall sched_yield getpid gettid rseq set_robust_list
""".split()
_NOT_EXECUTABLE = ("mmap", "mprotect")


def hide() -> None:
    """Processes of the same account can neither trace this one nor open its memory or descriptors; nor its children."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "Expected to become undumpable, found a refusal.")


def be_the_first_to_go() -> None:
    """When memory runs out on the machine, what reads files is ended before anything else. Before ``hide``."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def strict_filter() -> pyseccomp.SyscallFilter:
    """Built once, ``load``\\ ed by each process that reads a file."""
    program = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.EPERM))
    for name in _LEFT:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            program.add_rule(pyseccomp.ALLOW, name)
    for name in _NOT_EXECUTABLE:
        program.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(2, pyseccomp.MASKED_EQ, _EXECUTABLE, 0))
    return program


def limit(processor_seconds: int, memory_mb: int) -> None:
    """Hard limits of this process; one more processor second until the kernel ends it without asking."""
    memory = memory_mb << _SHIFT
    for what, soft, hard in (
        (resource.RLIMIT_CPU, processor_seconds, processor_seconds + 1),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))


def close_all_but(kept: tuple[int, ...]) -> None:
    """Every descriptor else, 0 to 2 included."""
    before = 0
    for descriptor in sorted(kept):
        os.closerange(before, descriptor)
        before = descriptor + 1
    os.closerange(before, 65_536)

"""System calls by number, with errors as exceptions. x86-64 and arm64; a test compares the numbers with libseccomp."""

from __future__ import annotations

import ctypes
import errno
import os
import platform

from .model import Closed, NotApplicable, error_name

LIBC = ctypes.CDLL(None, use_errno=True)
X86_64 = """
acct 163 add_key 248 adjtimex 159 bpf 321 chroot 161 clock_adjtime 305 clone 56 clone3 435 delete_module 176
fanotify_init 300 finit_module 313 fsmount 432 fsopen 430 fspick 433 get_mempolicy 239 init_module 175
io_uring_enter 426 io_uring_register 427 io_uring_setup 425 ioperm 173 iopl 172 kcmp 312 kexec_file_load 320
kexec_load 246 keyctl 250 mbind 237 memfd_secret 447 migrate_pages 256 mknod 133 modify_ldt 154 mount 165
mount_setattr 442 move_mount 429 move_pages 279 name_to_handle_at 303 open_by_handle_at 304 open_tree 428
perf_event_open 298 personality 135 pidfd_getfd 438 pidfd_open 434 pivot_root 155 process_madvise 440
process_vm_readv 310 process_vm_writev 311 ptrace 101 quotactl 179 quotactl_fd 443 reboot 169 request_key 249
set_mempolicy 238 setdomainname 171 sethostname 170 setns 308 settimeofday 164 swapoff 168 swapon 167 syslog 103
umount2 166 unshare 272 userfaultfd 323 vhangup 153 vmsplice 278
"""
ARM64 = """
acct 89 add_key 217 adjtimex 171 bpf 280 chroot 51 clock_adjtime 266 clone 220 clone3 435 delete_module 106
fanotify_init 262 finit_module 273 fsmount 432 fsopen 430 fspick 433 get_mempolicy 236 init_module 105
io_uring_enter 426 io_uring_register 427 io_uring_setup 425 kcmp 272 kexec_file_load 294 kexec_load 104 keyctl 219
mbind 235 memfd_secret 447 migrate_pages 238 mount 40 mount_setattr 442 move_mount 429 move_pages 239
name_to_handle_at 264 open_by_handle_at 265 open_tree 428 perf_event_open 241 personality 92 pidfd_getfd 438
pidfd_open 434 pivot_root 41 process_madvise 440 process_vm_readv 270 process_vm_writev 271 ptrace 117 quotactl 60
quotactl_fd 443 reboot 142 request_key 218 set_mempolicy 237 setdomainname 162 sethostname 161 setns 268
settimeofday 170 swapoff 225 swapon 224 syslog 116 umount2 39 unshare 97 userfaultfd 282 vhangup 58 vmsplice 75
"""
FORBIDDEN = (errno.EPERM, errno.EACCES)


def numbers(machine: str) -> dict[str, int]:
    """Name → number on this kind of machine (``platform.machine()``)."""
    words = {"x86_64": X86_64, "aarch64": ARM64}.get(machine, "").split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


_NUMBERS = numbers(platform.machine())


def call(name: str, *arguments: object) -> int:
    """The call's result, or OSError. NotApplicable when the machine's kind has no such call."""
    if name not in _NUMBERS:
        raise NotApplicable("no such system call on this kind of machine")
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    found = int(LIBC.syscall(_NUMBERS[name], *wide))
    if found == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


def reaches_kernel(name: str, *arguments: object) -> str:
    """For calls that would do harm: arguments the kernel refuses *after* it has let us in.

    Open when it complains about the arguments, closed when it forbids or does not know the call.
    """
    try:
        found = call(name, *arguments)
    except OSError as error:
        if error.errno in FORBIDDEN:
            raise
        if error.errno == errno.ENOSYS:
            raise Closed("ENOSYS") from error
        return f"{name} was let in and complained about its arguments ({error_name(error.errno)})"
    return f"{name} answered {'a descriptor' if found > 2 else found}"


def gives_descriptor(name: str, *arguments: object) -> str:
    """For calls whose success is a descriptor, closed at once."""
    os.close(call(name, *arguments))
    return f"{name} gave a descriptor"


def in_child(name: str, *arguments: object) -> str:
    """For calls that change the calling process: made in a child that ends at once."""
    child = os.fork()
    if child == 0:
        try:
            call(name, *arguments)
        except OSError as error:
            os._exit(min(error.errno or 1, 200))
        except NotApplicable:
            os._exit(255)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 255:
        raise NotApplicable("no such system call on this kind of machine")
    if code < 0:
        raise Closed("killed by the filter")
    if code:
        raise OSError(code, os.strerror(code))
    return f"{name} succeeded"

"""System calls that lead out of a sandbox or into the kernel's less trodden parts. None of these attempts does harm:
what would, is asked with arguments that the kernel refuses only after it has let us in.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

from .calls import call, gives_descriptor, in_child, reaches_kernel
from .model import Attempt, Closed, NotApplicable, Targets

NEW = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "network": 0x40000000,
    "process": 0x20000000,
    "ipc": 0x08000000,
    "name": 0x04000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}
AT_FDCWD = -100
_SIGCHLD = 17
_TICK = 0x4000


def reach(name: str, *arguments: object) -> Attempt:
    return lambda targets: reaches_kernel(name, *arguments)


def child(name: str, *arguments: object) -> Attempt:
    return lambda targets: in_child(name, *arguments)


def descriptor(name: str, *arguments: object) -> Attempt:
    return lambda targets: gives_descriptor(name, *arguments)


def mount(targets: Targets) -> str:
    folder = Path(str(targets["scratch"])) / "mount"
    folder.mkdir(exist_ok=True)
    call("mount", b"none", str(folder).encode(), b"tmpfs", 0, None)
    call("umount2", str(folder).encode(), 2)
    return "a file system was mounted"


def remount(targets: Targets) -> str:
    """Make the read-only root writable: with flags that change nothing more."""
    folder = Path(str(targets["scratch"])) / "bind"
    folder.mkdir(exist_ok=True)
    call("mount", b"/", str(folder).encode(), None, 0x1000, None)
    call("umount2", str(folder).encode(), 2)
    return "the root was mounted a second time"


def umount(targets: Targets) -> str:
    folder = Path(str(targets["scratch"])) / "no-mount"
    folder.mkdir(exist_ok=True)
    return reaches_kernel("umount2", str(folder).encode(), 0)


def setns(targets: Targets) -> str:
    opened = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        return in_child("setns", opened, 0)
    finally:
        os.close(opened)


def setns_of_first(targets: Targets) -> str:
    """The namespaces of process 1."""
    opened = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    try:
        return in_child("setns", opened, 0)
    finally:
        os.close(opened)


def clone(flags: int) -> Attempt:
    def attempt(targets: Targets) -> str:
        pid = call("clone", flags | _SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "a process in a namespace of its own"

    return attempt


def clone3(targets: Targets) -> str:
    arguments = struct.pack("8Q", NEW["user"], 0, 0, 0, _SIGCHLD, 0, 0, 0)
    pid = call("clone3", arguments, len(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a process in a namespace of its own"


def _handle(targets: Targets) -> bytes:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 8 + 128)
    number = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, b"/", handle, ctypes.byref(number), 0)
    return handle.raw


def name_to_handle(targets: Targets) -> str:
    return f"a handle of {struct.unpack_from('I', _handle(targets))[0]} bytes"


def open_by_handle(targets: Targets) -> str:
    """Files by number instead of name, past every mount (the "shocker" escape)."""
    root = os.open("/", os.O_RDONLY)
    try:
        try:
            handle = _handle(targets)
        except OSError:
            handle = struct.pack("Ii", 8, 1) + struct.pack("Ii", 2, 0)
        return reaches_kernel("open_by_handle_at", root, handle, os.O_RDONLY)
    finally:
        os.close(root)


def bpf(targets: Targets) -> str:
    attributes = struct.pack("4I", 2, 4, 4, 1) + bytes(56)
    return gives_descriptor("bpf", 0, attributes, len(attributes))


def perf(targets: Targets) -> str:
    """A counter of this process's own time, without the kernel's part."""
    attributes = struct.pack("IIQQQQQ", 1, 112, 1, 0, 0, 0, 0b1100001) + bytes(64)
    return gives_descriptor("perf_event_open", attributes, 0, -1, -1, 0)


def io_uring(targets: Targets) -> str:
    return gives_descriptor("io_uring_setup", 4, ctypes.create_string_buffer(256))


def clock(name: str, *first: int) -> Attempt:
    """Set the clock's tick to what it is: needs the permission, changes nothing."""

    def attempt(targets: Targets) -> str:
        timex = ctypes.create_string_buffer(208)
        call(name, *first, timex)
        tick = struct.unpack_from("q", timex, 88)[0]
        struct.pack_into("I", timex, 0, _TICK)
        struct.pack_into("q", timex, 88, tick)
        call(name, *first, timex)
        return "the clock could be set"

    return attempt


def settimeofday(targets: Targets) -> str:
    """Nothing to set: only the permission is looked at."""
    call("settimeofday", None, None)
    return "the clock could be set"


def syslog(targets: Targets) -> str:
    buffer = ctypes.create_string_buffer(64)
    return f"{call('syslog', 3, buffer, 64)} bytes of the kernel's messages"


def hang_up(targets: Targets) -> str:
    """In a session of its own, which has no terminal to hang up."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        try:
            call("vhangup")
        except OSError as error:
            os._exit(min(error.errno or 1, 200))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))
    return "terminals could be hung up"


def vmsplice(targets: Targets) -> str:
    reader, writer = os.pipe()
    try:
        data = ctypes.create_string_buffer(b"x" * 64)
        vector = struct.pack("PN", ctypes.addressof(data), 64)
        return f"{call('vmsplice', writer, vector, 1, 0)} bytes of memory were given to a pipe"
    finally:
        os.close(reader)
        os.close(writer)


def pidfd_getfd(targets: Targets) -> str:
    """Take an open file out of the process above."""
    process = call("pidfd_open", os.getppid(), 0)
    try:
        return gives_descriptor("pidfd_getfd", process, 0, 0)
    finally:
        os.close(process)


def module(targets: Targets) -> str:
    return reaches_kernel("init_module", 0, 0, b"")


def known(attempt: Attempt) -> Attempt:
    """In a kernel without the feature there is nothing to try, wherever no filter stands before it."""

    def tried(targets: Targets) -> str:
        try:
            return attempt(targets)
        except (Closed, OSError) as reason:
            absent = (isinstance(reason, Closed) and str(reason) == "ENOSYS") or getattr(
                reason, "errno", 0
            ) == errno.ENOSYS
            if absent and targets.get("unconfined"):
                raise NotApplicable("this kernel was built without it") from reason
            raise

    return tried

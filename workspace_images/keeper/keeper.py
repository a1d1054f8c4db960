"""Process 1 of a container: takes descriptors from the workspace host, runs the program, ends with it or the host.

    python -I -S keeper.py PROGRAM [WORD…]

Connects once to the host's socket, which lies in a folder mounted read-only. The host's first packet says where the
descriptors that come with it go: ``{"numbers": [[1, 2], [7]]}`` puts the first one at 1 and 2, the second one at 7.
Later packets carry a signal for the program and its process group, ``{"signal": 2}``, or the size over which no file
may grow from now on, ``{"file-bytes": 0}``. Back goes one packet, ``{"code": 0}`` (negative: the signal). When the
connection closes, this process ends, and as it is process 1, everything in the container ends with it: so nothing
outlives the host, however it ended.

What runs inside has this process's account, so it is not dumpable: its descriptors and memory cannot be opened. Signals
from inside do not reach process 1 unless it asks for them. Uses the standard library alone; speaks to nobody else.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import os
import resource
import selectors
import signal
import socket
import sys
from pathlib import Path

SOCKET = "/run/keeper/socket"
_LARGEST = 4096
_MOST_DESCRIPTORS = 16
_OUT_OF_THE_WAY = 512
_PR_SET_DUMPABLE = 4
_NOT_STARTED = 127


def receive_descriptors(connection: socket.socket) -> tuple[list[list[int]], list[int]]:
    """The first packet: where they go, and the descriptors, moved to numbers that nobody will name."""
    size = array.array("i").itemsize
    room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * size)
    packet, extra, _, _ = connection.recvmsg(_LARGEST, room, socket.MSG_CMSG_CLOEXEC)
    received = array.array("i")
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % size])
    moved = []
    for number in received:
        moved.append(fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY))
        os.close(number)
    return json.loads(packet)["numbers"], moved


def start(argv: list[str], numbers: list[list[int]], descriptors: list[int]) -> int:
    """Fork and run ``argv`` in a session of its own, with no descriptor but those named; returns its process id."""
    child = os.fork()
    if child:
        for descriptor in descriptors:
            os.close(descriptor)
        return child
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        for number in (0, 1, 2):
            os.dup2(nothing, number, inheritable=True)
        for places, descriptor in zip(numbers, descriptors, strict=True):
            for number in places:
                os.dup2(descriptor, number, inheritable=True)
        os.execvp(argv[0], argv)
    finally:
        os._exit(_NOT_STARTED)


def collect(child: int) -> int | None:
    """Reap whatever has ended (process 1 inherits all orphans); the program's code once it has."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if ended == 0:
            return code
        if ended == child:
            code = os.waitstatus_to_exitcode(status)


def obey(packet: bytes, child: int) -> None:
    """One request of the host. ``child`` leads the program's group."""
    request = json.loads(packet)
    if "signal" in request:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, int(request["signal"]))
    if "file-bytes" in request:
        limit_files(int(request["file-bytes"]))


def limit_files(size: int) -> None:
    """For every process in here; this one first, because orphans that fork meanwhile have it as their parent."""
    for pid in sorted(int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()):
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))


def keep(connection: socket.socket, child: int, woken: socket.socket) -> int:
    """Until the program has ended, or the host has."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    woken.recv(_LARGEST)
                elif packet := connection.recv(_LARGEST):
                    obey(packet, child)
                else:
                    return -signal.SIGKILL
            code = collect(child)
            if code is not None:
                connection.send(json.dumps({"code": code}).encode())
                return code


def main() -> int:
    """The program's exit code, as a shell reports it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(SOCKET)
        numbers, descriptors = receive_descriptors(connection)
        child = start(sys.argv[1:], numbers, descriptors)
        code = keep(connection, child, woken)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    try:
        ended_with = main()
    except OSError:  # the host is gone
        ended_with = _NOT_STARTED
    os._exit(ended_with)

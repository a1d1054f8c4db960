"""``python -m egress_review.parsing.inside DESCRIPTOR``: the process in the sandbox that waits for files to read.

It never reads a byte of one. For each it is sent three descriptors (the file, where the answer goes, where the verdict
goes) and makes a process that watches and, of that, one that reads (``confinement``): so a file finds a Python that has
everything loaded, memory in which no other file ever was, and nobody else's descriptors. The verdict says how the
reader ended; it comes from the watcher, which the reader cannot reach. Single-threaded, so forking is safe.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from egress_review.parsing import confinement, work
from egress_review.parsing.answers import read_task
from egress_review.parsing.limits import MEMORY_CODE

_BROKEN_CODE = 4
_MESSAGE_BYTES = 1000
_CHUNK = 1 << 20


def serve(door: socket.socket) -> None:
    """Until the portal hangs up."""
    confinement.be_the_first_to_go()
    confinement.hide()
    program, warmed = confinement.strict_filter(), {""}
    work.warm("")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # watchers are reaped by the kernel
    door.send(b"ready")
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(door, _MESSAGE_BYTES, 3)
        if not message:
            return
        order = json.loads(message)
        if order["kind"] not in warmed:
            work.warm(order["kind"])
            warmed.add(order["kind"])
        gc.collect()
        gc.freeze()  # pages that no collection touches stay shared
        # No process to be had: the descriptors are closed without a verdict, and the portal takes that as an end.
        with contextlib.suppress(BlockingIOError):
            if len(descriptors) == 3 and os.fork() == 0:
                _watch(order, program, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(order: dict[str, Any], program: Any, file: int, answer: int, verdict: int) -> NoReturn:
    """End the reader when its time is over or nobody waits for it any more; say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reader = os.fork()
    if reader == 0:
        _read(order, program, file, answer)
    confinement.close_all_but((verdict,))
    ended = os.pidfd_open(reader)
    poller = select.poll()
    poller.register(ended, select.POLLIN)
    poller.register(verdict, 0)  # an error when the other end is closed
    events = poller.poll(1000 * order["seconds"])
    if ended not in dict(events):
        os.kill(reader, signal.SIGKILL)
    _pid, status, _usage = os.wait4(reader, 0)
    code = os.waitstatus_to_exitcode(status)
    os.write(verdict, json.dumps({"code": code, "late": not events}).encode())
    os._exit(0)


def _read(order: dict[str, Any], program: Any, file: int, answer: int) -> NoReturn:
    """Give everything up, then look at the file."""
    try:
        confinement.close_all_but((file, answer))
        confinement.limit(order["processor_seconds"], order["memory_mb"])
        program.load()
        _say(answer, work.perform(*read_task(_all_of(file))))
    except MemoryError:
        os._exit(MEMORY_CODE)
    except BaseException:
        os._exit(_BROKEN_CODE)
    os._exit(0)


def _all_of(file: int) -> bytes:
    chunks = []
    while chunk := os.read(file, _CHUNK):
        chunks.append(chunk)
    return b"".join(chunks)


def _say(answer: int, said: bytes) -> None:
    rest = memoryview(said)
    while rest:
        rest = rest[os.write(answer, rest[:_CHUNK]) :]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

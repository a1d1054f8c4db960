"""Process 1 of a workspace's sandbox where the enclave does not run as root: nobody inside can open it.

    python -I -S init.py PROGRAM [WORD…]

As root, bubblewrap's own process 1 belongs to root. Without root everything in a sandbox has one account, and whoever
may open ``/proc/1/mem`` could rewrite process 1 so that it does not end with the host. So this program takes its place:
it is not dumpable, holds no descriptor, runs the program as process 2, collects what ends, and ends with the program.
Signals from inside do not reach process 1, and those from outside only as SIGKILL. Standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_DUMPABLE = 4
_NOT_STARTED = 127
_MOST_DESCRIPTORS = 65_536


def run(argv: list[str]) -> int:
    """Fork and run ``argv``; its process id."""
    child = os.fork()
    if child:
        os.closerange(3, _MOST_DESCRIPTORS)
        return child
    try:
        os.execvp(argv[0], argv)
    finally:
        os._exit(_NOT_STARTED)


def main() -> int:
    """The program's exit code, as a shell reports it."""
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):  # Python's own ways with them are not the program's
        signal.signal(number, signal.SIG_DFL)
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        return _NOT_STARTED
    child = run(sys.argv[1:])
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main())

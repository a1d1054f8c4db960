"""``python -m enclave.compute_nodes.part_process CHANNEL``: one cluster's part on a node, the counterpart of a
workspace's host at home: an island and its sandboxes, in a control group of their own.

The inherited socket ``CHANNEL`` (SEQPACKET) brings the plan, then questions to the island, each answered. When its
other end is closed – the node has ended, however it did – everything here ends, and the part's folder goes; also
when nobody has asked for ``ALONE_SECONDS``: a node that hangs keeps no lease.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from enclave.workspaces import cgroups
from enclave.workspaces.engines import BubblewrapEngine
from enclave.workspaces.host import MOST_PROCESSES
from enclave.workspaces.host_plan import HostPlan
from enclave.workspaces.islands import Islands

LARGEST = 1 << 18
ALONE_SECONDS = 90.0
"""Longer than a node's lease and the longest answer of another part together."""
_OWN_THREADS = 16
_LOOK_SECONDS = 1.0
_NICENESS = 5


def keep(
    plan: HostPlan, channel: socket.socket, wake: socket.socket, clock: Callable[[], float] = time.monotonic
) -> None:
    """Until the other end is closed or silent; ``wake`` becomes readable when a child has ended."""
    groups = cgroups.enter(plan.group, plan.memory_mb, (plan.kernel.processes or MOST_PROCESSES) + _OWN_THREADS)
    islands = Islands(plan, BubblewrapEngine())
    try:
        with suppress(OSError):  # the node is gone: heard of below
            channel.send(b"{}")
        with selectors.DefaultSelector() as selector:
            selector.register(channel, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            asked_at = clock()
            while clock() - asked_at < ALONE_SECONDS:
                ready = [key.fileobj for key, _ in selector.select(_LOOK_SECONDS)]
                if wake in ready:
                    wake.recv(4096)
                islands.reap()
                if channel in ready:
                    if not _serve(channel, islands):
                        return
                    asked_at = clock()
    finally:
        islands.end_all()
        shutil.rmtree(plan.state.parent.parent, ignore_errors=True)
        cgroups.leave(groups)


def _serve(channel: socket.socket, islands: Islands) -> bool:
    """False: nobody is there any more."""
    try:
        packet = channel.recv(LARGEST)
        if packet:
            channel.send(json.dumps(islands.answer(json.loads(packet))).encode())
    except OSError:
        return False
    return bool(packet)


def main() -> int:
    """Always 0: who started it has closed its end."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    wake, sending = socket.socketpair()
    for one in (wake, sending):
        one.setblocking(False)
    signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the node ends it by closing its end
    with suppress(OSError):
        os.nice(_NICENESS)
    if packet := channel.recv(LARGEST):
        keep(HostPlan.from_json(packet), channel, wake)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

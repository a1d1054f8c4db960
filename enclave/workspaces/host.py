"""``python -m enclave.workspaces.host``: keeps one workspace, outside of its sandboxes; outlives a restart of the hub.

Starts the Jupyter server's sandbox, and kernels' sandboxes when the server asks over a descriptor it inherited (there
is no path that a researcher could replace); Dask clusters when their service asks, where the plan has any (ADR 27).
Everything ends with this process, and this process ends when the server
ends, on SIGTERM, at the end of the permit's hours, when the enclave has stopped, and when no hub looks after it
for long.
Holds no secret and speaks to nobody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from enclave.metering.ledger import Ledger
from enclave.metering.readings import Meter
from enclave.metering.watch import UsageWatch
from enclave.sandbox import SandboxError, SandboxProfile
from enclave.workspaces import cgroups
from enclave.workspaces.disk_use import DiskState
from enclave.workspaces.engines import Engine, Sandboxed, engine_of
from enclave.workspaces.file_count import FileState, FileWatch, most_files
from enclave.workspaces.host_plan import HostPlan
from enclave.workspaces.island_door import IslandDoor
from enclave.workspaces.islands import MOST_ISLANDS, Islands
from enclave.workspaces.kernels import MOST_KERNELS, Kernels
from enclave.workspaces.limit_notes import FOLDER, Ended, Limit, LimitNotes
from enclave.workspaces.limit_sentences import Told
from enclave.workspaces.memory_kills import MemoryKills
from enclave.workspaces.quota import HOME, SHARED, DiskWatch
from enclave.workspaces.terminal_work import TerminalWork

_LARGEST = 1 << 17
_LOOK_SECONDS = 1.0
_FREE_LOOKS = 3
MOST_PROCESSES = 4096
_OWN_PROCESSES = 24
"""Our threads, and what they start to measure and to clear away."""
_PER_SANDBOX = 2
"""bubblewrap outside, and as process 1: ours as well, and not held against the account of what runs inside."""
NO_SANDBOX = 69
"""Exit code when the engine could not make the server's sandbox (EX_UNAVAILABLE of sysexits.h)."""
_GROWS = frozenset({DiskState.DEFIED, DiskState.RUNAWAY})
_NICENESS = 5
"""Below the enclave's own processes: a workspace that computes must not slow down the gateway or the log."""


class Host:
    """One workspace. ``run`` blocks until it has ended and everything in it is gone."""

    def __init__(self, plan: HostPlan, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._plan = plan
        self._engine = engine
        self._clock, self._began = clock, clock()
        self._touched, self._touched_at = 0, time.monotonic()
        self._notes = LimitNotes(plan.state.parent / FOLDER)
        self._groups: list[Path] = []
        self._memory = MemoryKills(self._own_groups, self._notes)
        self._terminal_work = TerminalWork(plan.state.parent)
        self._kernels = Kernels(plan, engine)
        self._islands = Islands(plan, engine)
        self._server: Sandboxed | None = None
        self._usage: UsageWatch | None = None
        self._free_looks = 0
        self._disk = self._disk_watch((plan.home, plan.ipc, plan.log), plan.disk_mb, Limit.DISK, HOME)
        self._files = FileWatch(
            (plan.home, plan.ipc),
            plan.inside,
            most_files(plan.disk_mb),
            kernels_ended=lambda: self._kernels.is_barred,
            language=plan.language,
        )

    def run(self, should_stop: Callable[[], bool], wake: socket.socket) -> int:
        """The server's exit code. ``wake`` becomes readable when a signal came. Raises SandboxError."""
        plan = self._plan
        groups = self._groups = cgroups.enter(plan.group, plan.memory_mb, most_processes(plan))
        if plan.usage:
            meter = Meter(self._own_groups, os.getpid(), self._containers)
            self._usage = UsageWatch(Ledger(plan.usage), meter.read)
            self._usage.start()
        watches: list[DiskWatch | FileWatch] = [self._disk, *self._shared_watch(), self._files]
        for watch in watches:
            watch.start()
        try:
            return self._keep(should_stop, wake)
        finally:
            for watch in watches:
                watch.end()
            self._memory.look()
            self._notes.flush()
            self._note_usage()  # the processor time of the last moments
            cgroups.leave(groups)
            self._engine.close()

    def _own_groups(self) -> list[Path]:
        """Those we have entered (which are not below our own any more), and Docker's at the top."""
        found = (*self._groups, *cgroups.groups_of(self._plan.group))
        return list(dict.fromkeys(folder.resolve() for folder in found if folder.is_dir()))

    def _containers(self) -> list[int]:
        """A process of each container; bubblewrap's sandboxes are in our own group."""
        return [] if self._plan.docker is None else [one.pid for one in self._sandboxes() if one.poll() is None]

    def _sandboxes(self) -> tuple[Sandboxed, ...]:
        """All there are; for another thread."""
        running = (*self._kernels.sandboxes(), *self._islands.sandboxes())
        return (*running, *([self._server] if self._server else []))

    def _note_usage(self) -> None:
        if self._usage is not None:
            self._usage.end()

    def _disk_watch(self, folders: tuple[Path, ...], limit_mb: int, limit: Limit, what: Told) -> DiskWatch:
        plan, note = self._plan, partial(self._notes.note, limit, Ended.WRITING)
        tell, language = self._allow_writing, plan.language
        return DiskWatch(
            folders, plan.inside, limit_mb, os.getpid(), tell=tell, note=note, what=what, language=language
        )

    def _shared_watch(self) -> list[DiskWatch]:
        """Where no file system keeps its quota. Nobody's kernels end for it: a colleague may have filled it."""
        plan = self._plan
        return [self._disk_watch((plan.shared,), plan.shared_mb, Limit.SHARED, SHARED)] if plan.shared else []

    def _keep(self, should_stop: Callable[[], bool], wake: socket.socket) -> int:
        ours, servers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, selectors.DefaultSelector() as selector:
            with servers, self._plan.log.open("ab") as log:
                command = (*self._plan.launcher, *self._plan.command)
                server = self._server = self._engine.start(self._server_profile(servers), command, log)
            selector.register(ours, selectors.EVENT_READ, lambda: self._serve(ours) or selector.unregister(ours))
            selector.register(wake, selectors.EVENT_READ, lambda: self._reap(wake))
            door = IslandDoor(self._plan.state.parent, selector, self._islands.answer) if self._plan.clusters else None
            try:
                while server.poll() is None and not should_stop() and self._reason_to_end() is None:
                    for key, _ in selector.select(_LOOK_SECONDS):
                        key.data()
                    self._bar_kernels()
                    self._memory.look()
                    self._notes.look()
                    self._terminal_work.look(time.monotonic(), self._kernels.terminals())
            finally:
                self._note_usage()  # while there is memory in use
                server.kill()
                self._kernels.end_all()
                self._islands.end_all()
                if door is not None:
                    door.close()
            return server.wait(10)

    def _reap(self, wake: socket.socket) -> None:
        wake.recv(4096)
        self._kernels.reap()
        self._islands.reap()

    def _bar_kernels(self) -> None:
        """While the home holds far too many files, or grows although nobody may write, no kernel runs.

        See ``enclave.workspaces.file_count`` and ``enclave.workspaces.disk_use``.
        """
        note, plan = self._notes.note, self._plan
        too_many, grows = self._files.state is not FileState.FINE, self._disk.state in _GROWS
        if not (too_many or grows):
            self._kernels.bar("")
            return
        if self._kernels.is_barred:
            return
        print("the home holds too much, so its kernels end", file=sys.stderr)  # noqa: T201
        if too_many:
            note(Limit.FILES, Ended.KERNELS, self._files.found, most_files(plan.disk_mb))
        else:
            note(Limit.DISK, Ended.KERNELS, self._disk.found, plan.disk_mb << 20)
        self._kernels.bar(self._files.sentence if too_many else self._disk.sentence)

    def _allow_writing(self, allowed: bool) -> None:
        for sandbox in self._sandboxes():
            sandbox.allow_writing(allowed)

    def _server_profile(self, channel: socket.socket) -> SandboxProfile:
        profile = self._plan.server
        number = channel.fileno()
        env = {**profile.env, "ENCLAVE_HOST_FD": str(number)}
        return replace(profile, env=env, pass_fds=(*profile.pass_fds, number))

    def _serve(self, channel: socket.socket) -> bool:
        """Answer one request; False when the server has closed its end."""
        try:
            packet = channel.recv(_LARGEST)
        except OSError:
            return False
        if not packet:
            return False
        try:
            request = json.loads(packet)
        except (ValueError, RecursionError):
            request = None
        with contextlib.suppress(OSError):
            channel.send(json.dumps(self._kernels.answer(request)).encode(), socket.MSG_DONTWAIT)
        return True

    def _reason_to_end(self) -> str | None:
        """Why this workspace must go now, or None. A limit is noted here, before it ends."""
        now, noted = self._clock(), self._notes.note
        if self._files.state is FileState.RUNAWAY:
            noted(Limit.FILES, Ended.WORKSPACE, self._files.found, most_files(self._plan.disk_mb))
            return "it makes more and more files without any kernel"
        if self._disk.state is DiskState.RUNAWAY:
            noted(Limit.DISK, Ended.WORKSPACE, self._disk.found, self._plan.disk_mb << 20)
            return "it writes more and more without any kernel"
        if now >= self._plan.ends_at:
            noted(Limit.HOURS, Ended.WORKSPACE, int(now - self._began), int(self._plan.ends_at - self._began))
            return "its hours are over"
        try:
            touched = self._plan.state.stat().st_mtime_ns
        except OSError:
            return "its folder is gone"
        if touched != self._touched:  # by our own clock: that of the day may jump, over a machine's sleep for instance
            self._touched, self._touched_at = touched, time.monotonic()
        if time.monotonic() - self._touched_at > self._plan.orphan_seconds:
            return "no hub has looked after it"
        self._free_looks = self._free_looks + 1 if _is_free(self._plan.anchor) else 0
        return "the enclave has stopped" if self._free_looks >= _FREE_LOOKS else None


def most_processes(plan: HostPlan) -> int:
    """In the control group. The account's own limit comes first: who reaches that, with however many kernels, must not
    keep us from starting what measures the home."""
    clusters = plan.clusters + 2 * MOST_ISLANDS if plan.clusters else 0  # workers; a scheduler and a relay for each
    ours = _OWN_PROCESSES + _PER_SANDBOX * (1 + MOST_KERNELS + clusters)
    return (plan.kernel.processes or MOST_PROCESSES) + ours


def _is_free(anchor: Path) -> bool:
    """Nobody holds the supervisor's lock (a file that is not there: an enclave without supervisor, in tests)."""
    try:
        descriptor = os.open(anchor, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


class _Signals:
    """SIGTERM and SIGINT as a flag; every signal makes ``wake`` readable."""

    def __init__(self) -> None:
        self.stop = False
        self.wake, self._sending = socket.socketpair()
        self.wake.setblocking(False)
        self._sending.setblocking(False)
        signal.set_wakeup_fd(self._sending.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _receive(self, *_: object) -> None:
        self.stop = True


def main() -> int:
    """Exit code: the server's; NO_SANDBOX when it could not be started (its log says why)."""
    signals = _Signals()
    plan = HostPlan.from_json(sys.stdin.buffer.read())
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    try:
        return abs(Host(plan, engine_of(plan)).run(lambda: signals.stop, signals.wake))
    except SandboxError as error:
        print(error, file=sys.stderr)  # noqa: T201  (the server's log)
        return NO_SANDBOX
    except subprocess.TimeoutExpired:
        return 1


if __name__ == "__main__":
    raise SystemExit(main())

"""A real daemon that is killed over and over, the clients that write to it meanwhile, and what they were promised."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from published import published_entries, published_hashes, roots_of
from running_log import RunningLog, wait_until

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.note import VerifierKey

HERE = Path(__file__).parent
START_SECONDS = 30


class KillableLog(RunningLog):
    """Daemons are forked from one process that has everything imported (``nursery``); ``pid`` is the present one."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options
        self.pid = 0
        self._nursery = subprocess.Popen(
            [sys.executable, str(HERE / "daemon_nursery.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def spawn(self) -> None:
        """Start a daemon without waiting for it."""
        self.socket.unlink(missing_ok=True)
        arguments = self.arguments(*self.options)
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        print(json.dumps({"arguments": arguments, "errors": str(self.errors)}), file=self._nursery.stdin, flush=True)
        self.pid = int(self._nursery.stdout.readline())
        self._death = os.pidfd_open(self.pid)

    def spawn_fresh(self) -> None:
        """Start one as the system does, ``python -m audit.daemon``."""
        self.start(*self.options)
        assert self.process is not None
        self.pid = self.process.pid
        self._death = os.pidfd_open(self.pid)

    def is_dead(self, seconds: float = 0) -> bool:
        return bool(select.select([self._death], [], [], seconds)[0])

    def wait_ready(self) -> None:
        """Wait until it listens; fail with what it said when it ends instead."""
        wait_until(lambda: self.socket.exists() or self.is_dead(), START_SECONDS)
        assert not self.is_dead(), self.errors.read_text()[-2000:]

    def end(self, how: signal.Signals) -> None:
        """Send the signal and wait for the end."""
        if not self.is_dead():
            os.kill(self.pid, how)
        assert self.is_dead(START_SECONDS)
        os.close(self._death)
        if self.process is not None:
            self.process.wait(START_SECONDS)
            self.process = None
        self.pid = 0

    def remove(self) -> None:
        if self.pid:
            self.end(signal.SIGKILL)
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait(START_SECONDS)
        self._nursery.stdout.close()
        super().remove()


@dataclass(frozen=True)
class Promise:
    """One receipt."""

    name: str
    index: int
    leaf_hash: str
    checkpoint: str


class Load:
    """Client processes; ``promises`` are all receipts read so far."""

    def __init__(self, log: KillableLog, processes: int, threads: int) -> None:
        self.promises: list[Promise] = []
        self._log = log
        self._files = [log.home / f"receipts-{number}" for number in range(processes)]
        self._errors = log.home / "clients.err"
        self._read = [0] * processes
        self._processes = [self._start(number, threads) for number in range(processes)]

    def _start(self, number: int, threads: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(HERE / "kill_load.py"), str(self._log.socket), f"gateway-{number}", str(threads)]
        with self._files[number].open("wb") as receipts, self._errors.open("ab") as errors:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=receipts, stderr=errors)

    def refresh(self) -> int:
        """Read new receipts; return how many there are altogether."""
        for number, path in enumerate(self._files):
            with path.open("rb") as file:
                file.seek(self._read[number])
                lines = file.read().splitlines(keepends=True)
            if lines and not lines[-1].endswith(b"\n"):
                lines.pop()
            self._read[number] += sum(map(len, lines))
            self.promises += [Promise(*json.loads(line)) for line in lines]
        return len(self.promises)

    def wait_more(self, count: int) -> None:
        """Wait for so many further receipts; fail when the daemon or a client ends."""
        wanted = self.refresh() + count
        wait_until(lambda: self.refresh() >= wanted or self._log.is_dead(), START_SECONDS)
        assert not self._log.is_dead(), self._log.errors.read_text()[-2000:]
        assert all(process.poll() is None for process in self._processes), self._errors.read_text()

    def stop(self) -> None:
        """Let the clients finish; fail when one of them had a record without receipt."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        codes = [process.wait(90) for process in self._processes]
        assert codes == [0] * len(codes), self._errors.read_text()
        self.refresh()

    def kill(self) -> None:
        """At the end of a test that failed."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()


@cache
def opened(note: str, vkey: str) -> Checkpoint:
    """A checkpoint that was handed out, its signature verified; once for all the rounds after it."""
    return open_checkpoint(note.encode(), VerifierKey.parse(vkey))


def check_promises(log: RunningLog, promises: list[Promise]) -> None:
    """Every receipt holds: the record is at its index, and the log continues every checkpoint that was handed out."""
    hashes = published_hashes(log.log_dir)
    lost = [said for said in promises if hashes[said.index : said.index + 1] != [bytes.fromhex(said.leaf_hash)]]
    assert not lost, (
        f"{len(lost)} of {len(promises)} acknowledged records are lost, first {lost[0]}; {len(hashes)} there"
    )
    roots, vkey = roots_of(hashes), log.vkey
    for note in {said.checkpoint for said in promises}:
        head = opened(note, vkey)
        assert head.size < len(roots) and roots[head.size] == head.root, f"the log does not continue {note}"


def check_nothing_doubled(log: RunningLog) -> None:
    """No record stands in the log twice."""
    names = Counter(json.loads(entry)["event_id"] for entry in published_entries(log.log_dir).values())
    doubled = [name for name, count in names.items() if count > 1]
    assert not doubled, f"{len(doubled)} records are doubled: {doubled[:5]}"

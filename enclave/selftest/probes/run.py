"""Run the catalogue here: ``python3 selftest.pyz TARGETS RESULTS PLACE``; RESULTS: JSON, id → [state, detail].

Each probe has a process of its own, so that one that is killed, hangs or changes itself says nothing about the next.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from pathlib import Path

from . import CATALOGUE, inherited
from .model import ERROR, TERMINAL, Outcome, Probe, Targets, attempt_outcome, is_tried, signal_outcome

LAST = ("bomb-disk",)
"""Once it is answered, nothing can be written any more."""


ALONE = "own-kernel"
"""The place of probes that end what they run in."""


class Running:
    """One probe in its own process; ``collect`` gives its outcome."""

    def __init__(self, probe: Probe, targets: Targets) -> None:
        self.probe = probe
        self._reader, writer = os.pipe()
        self._ends = time.monotonic() + probe.seconds
        self._child = os.fork()
        if self._child == 0:
            os.close(self._reader)
            os.setpgid(0, 0)
            _answer(probe, targets, writer)
        os.close(writer)

    def collect(self) -> Outcome:
        """Wait until it has ended, or end it."""
        received = b""
        while select.select([self._reader], [], [], max(0.0, self._ends - time.monotonic()))[0]:
            chunk = os.read(self._reader, 65536)
            if not chunk:
                break
            received += chunk
        else:
            self._kill()
            os.waitpid(self._child, 0)
            os.close(self._reader)
            return Outcome(ERROR, f"no end within {self.probe.seconds:.0f} s")
        os.close(self._reader)
        code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        self._kill()
        if received:
            state, detail = json.loads(received)
            return Outcome(state, detail)
        return signal_outcome(-code) if code < 0 else Outcome(ERROR, f"ended with code {code}")

    def _kill(self) -> None:
        """What it started is in its group."""
        try:
            os.killpg(self._child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def _answer(probe: Probe, targets: Targets, writer: int) -> None:
    try:
        found = attempt_outcome(probe, targets)
        os.write(writer, json.dumps([found.state, found.detail]).encode())
    finally:
        os._exit(0)


def run_all(targets: Targets, place: str) -> dict[str, list[str]]:
    """Every probe that makes sense at this place; ``groups`` among the targets: those groups alone."""
    groups = targets.get("groups") or {probe.group for probe in CATALOGUE}
    wanted = [probe for probe in CATALOGUE if _belongs(probe, place) and probe.group in groups]
    results = {}
    for probe in sorted(wanted, key=lambda probe: probe.id in LAST):
        outcome = start(probe, targets).collect()
        results[probe.id] = [outcome.state, outcome.detail]
    return results


def _belongs(probe: Probe, place: str) -> bool:
    """Anywhere but in a workspace all probes are run."""
    if place == ALONE:
        return probe.alone
    return place not in ("server", "kernel", TERMINAL) or (is_tried(probe, place) and not probe.alone)


def start(probe: Probe, targets: Targets) -> Running:
    """Begin one probe; a process that cannot be started even after a while is the sandbox's limit, not a probe's."""
    for _ in range(50):
        try:
            return Running(probe, targets)
        except BlockingIOError:
            time.sleep(0.1)
    return Running(probe, targets)


def main(arguments: list[str]) -> int:
    """See the module."""
    inherited.note_descriptors()
    targets_file, results_file, place = arguments
    targets = json.loads(Path(targets_file).read_text())
    Path(targets["scratch"]).mkdir(parents=True, exist_ok=True)
    write_results(run_all(targets, place), results_file)
    return 0


def write_results(results: dict[str, list[str]], file: str) -> None:
    """Whole or not at all."""
    making = Path(file + ".making")
    making.write_text(json.dumps(results))
    making.rename(file)

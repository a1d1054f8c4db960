"""Reports and the schedule: what counts as good, what is never hidden, when a test is due."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from enclave.selftest import report as reports
from enclave.selftest.probes import CATALOGUE
from enclave.selftest.report import Report, from_json, judge, store, stored, to_json, to_text
from enclave.selftest.residuals import RESIDUALS, Residual
from enclave.selftest.run import Conditions
from enclave.selftest.schedule import LOOK_SECONDS, SETTLE_SECONDS, SelftestSchedule, find_reason
from enclave.settings import Settings

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HERE = Conditions("bubblewrap", "6.1", "0.1.0+abc")
CLOSED = {probe.id: ["closed", "EPERM"] for probe in CATALOGUE}


def report(outcomes: dict[str, Any], **more: Any) -> Report:
    findings = tuple(finding for place in ("server", "kernel") for finding in judge(place, outcomes))
    given = {"started_at": NOW, "finished_at": NOW, "engine": HERE.engine, "kernel": HERE.kernel, "code": HERE.code}
    given |= {"catalogue_sha256": "0" * 64, "reason": "asked", "findings": findings}
    return Report(**{**given, **more})


def test_all_closed_is_good() -> None:
    found = report(CLOSED)
    assert found.is_good
    assert found.counts()["closed"] == len(found.findings) > 600


@pytest.mark.parametrize(
    "outcome", [["open", "a socket"], ["error", "KeyError"], None, ["fine", ""], "closed", ["closed"]]
)
def test_one_open_lost_or_unreadable_outcome_is_not_good(outcome: Any) -> None:
    found = report({**CLOSED, "call-mount": outcome})
    assert not found.is_good
    assert "call-mount" in to_text(found)


def test_what_is_known_or_noted_is_shown_and_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RESIDUALS, "bomb-inodes", Residual("A known risk.", "Un risque connu."))
    found = report({**CLOSED, "bomb-inodes": ["open", "5000"], "leak-load": ["open", "load"]})
    assert found.is_good
    assert {f.probe for f in found.of("residual")} == {"bomb-inodes"}
    assert "bomb-inodes" in to_text(found) and "leak-load" in to_text(found)


def test_nothing_run_is_not_good() -> None:
    assert not report(CLOSED, findings=()).is_good
    assert not report(CLOSED, problem="The gateway does not answer.").is_good
    assert "The gateway does not answer." in to_text(
        report(CLOSED, findings=(), problem="The gateway does not answer.")
    )


def test_what_a_sandbox_wrote_is_cut_and_made_printable() -> None:
    (finding,) = [
        f for f in judge("kernel", {"call-mount": ["open", "\x1b[2J" + "x" * 9999]}) if f.probe == "call-mount"
    ]
    assert finding.detail.startswith("?[2J") and len(finding.detail) == 300


def test_reports_are_kept_and_read_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    first, second = report(CLOSED), report({**CLOSED, "call-bpf": ["open", "x"]}, started_at=NOW + timedelta(days=1))
    for one in (first, second):
        store(settings, one)
    (reports.folder_of(settings) / "2099.json").write_text("[]")
    assert stored(settings) == [second, first]
    assert from_json(to_json(first)) == first
    assert "NOT GOOD" in (reports.folder_of(settings) / f"{second.name}.txt").read_text()


@pytest.mark.parametrize(
    ("days", "age", "then", "reason"),
    [
        (7, timedelta(days=6), HERE, None),
        (7, timedelta(days=7), HERE, "due"),
        (7, timedelta(0), Conditions("bubblewrap", "6.1", "0.1.0+old"), "code"),
        (7, timedelta(0), Conditions("bubblewrap", "6.0", HERE.code), "kernel"),
        (7, timedelta(0), Conditions("docker", "6.1", HERE.code), "engine"),
        (0, timedelta(days=99), HERE, None),
    ],
)
def test_when_one_is_due(days: int, age: timedelta, then: Conditions, reason: str | None) -> None:
    last = report(CLOSED, started_at=NOW - age, engine=then.engine, kernel=then.kernel, code=then.code)
    assert find_reason(days, last, NOW, HERE) == reason
    assert find_reason(days, None, NOW, HERE) == ("first" if days else None)


def test_one_that_could_not_be_carried_out_is_tried_again_the_next_day() -> None:
    last = report({}, problem="The gateway was away.", started_at=NOW - timedelta(hours=25))
    assert find_reason(7, last, NOW, HERE) == "due"
    assert find_reason(7, replace(last, started_at=NOW - timedelta(hours=23)), NOW, HERE) is None


class Pretended:
    """A process that ends when told to."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command, self.code, self.terminated = command, None, False

    def poll(self) -> int | None:
        return self.code

    @property
    def returncode(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated = True

    def wait(self, timeout: float) -> int:
        return 0


def test_the_schedule_begins_one_at_a_time_and_ends_with_the_runner(tmp_path: Path) -> None:
    now, begun = [0.0], []

    def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        begun.append(Pretended(command))
        return begun[-1]  # type: ignore[return-value]

    schedule = SelftestSchedule(Settings(home=tmp_path), start, lambda: now[0])
    schedule.look()
    assert begun == []  # just started: the people first
    now[0] = SETTLE_SECONDS
    schedule.look()
    assert begun[0].command[-3:] == ("selftest", "--reason", "first")
    now[0] += LOOK_SECONDS
    schedule.look()
    assert len(begun) == 1  # it still runs
    begun[0].code = 1
    schedule.look()
    assert len(begun) == 2  # no report came of it
    schedule.end()
    assert begun[1].terminated

"""What was used is written down once, by day, whoever writes and whoever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.domain.usage import Computed, Month, StorageKind
from enclave.metering.ledger import Ledger, LedgerUnreadableError, find_ledger, ledgers, place_ledger
from enclave.metering.readings import Meter, ProcessTimes, Reading, group_cpu_ns, group_memory_bytes
from enclave.metering.storage import NOTHING, StorageLedger, add_measurement, measure
from enclave.metering.watch import UsageWatch, settle
from enclave.settings import Settings
from enclave.workspaces import cgroups

PERSON, PROJECT, WORKSPACE = PersonId("u-0123456789ab"), ProjectId("study"), WorkspaceId("w-0123456789ab")
MONDAY, TUESDAY = date(2026, 11, 30), date(2026, 12, 1)
GB = 10**9


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = place_ledger(tmp_path, PROJECT, WORKSPACE, MONDAY)
    made.open(PERSON)
    return made


def group(folder: Path, cpu_ns: int) -> Path:
    """A control group's files, version 1."""
    folder.mkdir(exist_ok=True)
    (folder / "cpuacct.usage").write_text(f"{cpu_ns}\n")
    (folder / "memory.usage_in_bytes").write_text("5000\n")
    (folder / "memory.stat").write_text("cache 4000\ntotal_inactive_file 3000\n")
    return folder


class Watched:
    """A watch over a reading, a clock and a day that the test sets."""

    def __init__(self, ledger: Ledger) -> None:
        self.reading, self.now, self.day = Reading(0, 0), 0.0, MONDAY
        self.watch = UsageWatch(ledger, lambda: self.reading, monotonic=lambda: self.now, day=lambda: self.day)

    def look(self, cpu_ns: int, memory: int, now: float) -> None:
        self.reading, self.now = Reading(cpu_ns, memory), now
        self.watch.look()


def test_use_goes_to_its_day_and_memory_between_two_looks_is_their_mean(ledger: Ledger) -> None:
    watched = Watched(ledger)
    watched.look(5, 100, 10)
    watched.look(9, 300, 20)
    watched.day = TUESDAY
    watched.look(9, 0, 30)
    assert ledger.read().days == {MONDAY: Computed(9, 500 + 2000, 300, 20), TUESDAY: Computed(0, 1500, 0, 10)}


def test_whoever_goes_on_adds_only_what_is_new(ledger: Ledger, tmp_path: Path) -> None:
    """A host that was killed, then the hub, then the hub again; a counter that fell takes nothing away."""
    Watched(ledger).look(1000, 0, 1)
    for cpu_ns in (1500, 1500, 10):
        settle(tmp_path, PROJECT, WORKSPACE, [group(tmp_path / "group", cpu_ns)])
    found = ledger.read()
    assert (found.counted_cpu_ns, sum(day.cpu_ns for day in found.days.values())) == (1500, 1500)
    settle(tmp_path, PROJECT, WORKSPACE, [])
    settle(tmp_path, PROJECT, WorkspaceId("w-ffffffffffff"), [tmp_path / "group"])  # none of ours: nothing to do
    assert find_ledger(tmp_path, PROJECT, WorkspaceId("w-ffffffffffff")) is None


def test_what_cannot_be_written_now_is_written_at_the_next_look(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    content = ledger.path.read_bytes()
    ledger.path.write_bytes(b"{half")
    watched = Watched(ledger)
    watched.look(7, 100, 10)
    watched.look(8, 100, 20)
    assert ledger.path.read_bytes() == b"{half", "what cannot be read is left for the operator"
    assert capsys.readouterr().err.count("cannot be written down") == 1
    ledger.path.write_bytes(content)
    watched.look(9, 100, 30)
    assert ledger.read().days == {MONDAY: Computed(9, 500 + 1000 + 1000, 100, 30)}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"person": "u", "counted_cpu_ns": 1, "days": {"today": {}}}'])
def test_other_content_is_said_to_be_unreadable(ledger: Ledger, text: str) -> None:
    ledger.path.write_text(text)
    with pytest.raises(LedgerUnreadableError, match="Expected a workspace's use by day"):
        ledger.read()


def test_a_workspace_open_over_the_end_of_a_month_is_found_in_both(ledger: Ledger, tmp_path: Path) -> None:
    for month in (Month(2026, 11), Month(2026, 12), Month(2027, 1)):
        assert [found.path for found in ledgers(tmp_path, PROJECT, month)] == [ledger.path]
    assert list(ledgers(tmp_path, PROJECT, Month(2026, 10))) == []


def test_both_versions_of_control_groups_are_read(tmp_path: Path) -> None:
    first = group(tmp_path / "one", 12)
    second = tmp_path / "two"
    second.mkdir()
    (second / "cpu.stat").write_text("usage_usec 15\nuser_usec 9\n")
    (second / "memory.current").write_text("900\n")
    (second / "memory.stat").write_text("inactive_file 1000\n")
    assert (group_cpu_ns([first]), group_memory_bytes([first])) == (12, 2000)
    assert (group_cpu_ns([second]), group_memory_bytes([second])) == (15_000, 0)
    empty = tmp_path / "three"
    empty.mkdir()
    assert (group_cpu_ns([empty]), group_memory_bytes([])) == (None, None)


def test_without_a_group_processes_are_counted_and_what_has_ended_stays() -> None:
    """A child computes, holds memory, says so, and ends. Our own use counts too: the figures are least ones."""
    code = (
        "import time\nheld = bytearray(60 << 20)\nwhile time.process_time() < 0.5: pass\nprint('', flush=True)\ninput()"
    )
    meter, times = Meter(tuple, os.getpid()), ProcessTimes(os.getpid())
    before = meter.read()
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = meter.read()
        times.cpu_ns()
    after = meter.read()
    assert during.cpu_ns - before.cpu_ns >= 0.45 * 10**9
    assert during.memory_bytes - before.memory_bytes >= 60 << 20
    assert after.cpu_ns >= during.cpu_ns and times.cpu_ns() >= 0.45 * 10**9
    assert after.memory_bytes < during.memory_bytes


def test_a_branch_that_was_killed_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    tree: dict[int, int] = {1: 10, 2: 50}
    monkeypatch.setattr("enclave.metering.readings.processes_below", lambda top: [2])
    monkeypatch.setattr("enclave.metering.readings._process_ns", lambda pid: tree.get(pid, 0))
    times = ProcessTimes(1)
    assert times.cpu_ns() == 60
    del tree[2]
    assert times.cpu_ns() == 60
    tree[1] = 25
    assert times.cpu_ns() == 75


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}+00:00")


STORED: list[tuple[list[tuple[str, int]], dict[str, int]]] = [
    ([("11-30T12:00", 5)], {}),
    ([("11-30T12:00", 5), ("11-30T13:00", 7)], {"11-30": 5 * 3600}),
    ([("11-30T23:00", 5), ("12-02T01:00", 0)], {"11-30": 5 * 3600, "12-01": 5 * 86_400, "12-02": 5 * 3600}),
    ([("11-30T12:00", 5), ("11-30T11:00", 9), ("11-30T13:00", 0)], {"11-30": 9 * 3600}),  # the clock was set back
]


@pytest.mark.parametrize(("looks", "expected"), STORED)
def test_stored_bytes_count_until_the_next_look_however_late_it_is(
    looks: list[tuple[str, int]], expected: dict[str, int], tmp_path: Path
) -> None:
    usage, ledger = NOTHING, StorageLedger(tmp_path, PROJECT)
    for moment, size in looks:
        usage = add_measurement(usage, {StorageKind.HOME: size}, at(moment))
        ledger.add({StorageKind.HOME: size}, at(moment))
    assert {f"{day:%m-%d}": kinds[StorageKind.HOME] for day, kinds in usage.days.items()} == expected
    assert ledger.read() == usage


def test_every_kind_of_storage_is_measured_where_it_lies(tmp_path: Path) -> None:
    settings: Any = Settings(home=tmp_path)
    places = {
        "workspaces/study/amelie/notes": StorageKind.HOME,
        "workspaces/study/amelie/outbox": StorageKind.OUTBOX,
        "workspaces/study/karim/outbox": StorageKind.OUTBOX,
        "shared/study/files": StorageKind.SHARED,
        "projects/study/scratch/u-1": StorageKind.SCRATCH,
        "projects/study/extracts/v1": StorageKind.EXTRACTS,
        "projects/study/packages/p1": StorageKind.PACKAGES,
        "shown/study/amelie": StorageKind.SHOWN,
        "workspaces/other/amelie": StorageKind.HOME,
    }
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "file").write_bytes(os.urandom(1 << 20))
    (tmp_path / "workspaces/study/elsewhere").symlink_to(tmp_path / "workspaces/other")
    (tmp_path / "workspaces/study/amelie/link").symlink_to(tmp_path / "workspaces/other")
    found = measure(settings, PROJECT, 77)
    mega = {kind: round(size / (1 << 20), 1) for kind, size in found.items() if kind != StorageKind.VAULT}
    expected = {StorageKind.HOME: 1, StorageKind.OUTBOX: 2, StorageKind.SCRATCH: 1, StorageKind.EXTRACTS: 1}
    assert mega == pytest.approx(
        {**expected, StorageKind.SHARED: 1, StorageKind.PACKAGES: 1, StorageKind.SHOWN: 1}, abs=0.1
    )
    assert found[StorageKind.VAULT] == 77
    assert set(measure(settings, ProjectId("nothing-yet"), 0).values()) == {0}


def test_a_group_that_has_several_names_counts_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Many machines mount both controllers together, with links from each to the one folder."""
    (tmp_path / "cpu,cpuacct").mkdir()
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).symlink_to("cpu,cpuacct")
    parents = {"cpu": tmp_path / "cpu", "cpuacct": tmp_path / "cpuacct"}
    monkeypatch.setattr(cgroups, "_MOUNT", tmp_path)
    monkeypatch.setattr(cgroups, "own_groups", lambda: parents)
    group(tmp_path / "cpu,cpuacct" / "enclave-w", 7)
    assert group_cpu_ns(cgroups.groups_of("enclave-w")) == 7
    assert group_memory_bytes(cgroups.groups_of("enclave-w")) == 2000
    assert cgroups.groups_of("enclave-x") == []

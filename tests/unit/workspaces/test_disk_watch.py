"""When a home is measured, by a clock and a file system in the test's hands; and who writes although nobody may."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from host_doubles import UnsafeEngine, plan  # type: ignore[import-not-found]

from enclave.workspaces import quota
from enclave.workspaces.disk_use import DiskState, DiskUse
from enclave.workspaces.host import Host
from enclave.workspaces.limit_notes import FOLDER, read_notes
from enclave.workspaces.quota import DiskWatch

MB = 1 << 20
LIMIT_MB = 20_000


class House:
    """A home that takes ``takes`` seconds to measure, on a disk that others write to as well."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.takes, self.home, self.disk = 1000.0, 2.0, 5_000 * MB, 90_000 * MB
        self.measured: list[float] = []
        self.told: list[bool] = []
        self.limited: list[tuple[int, int]] = []
        self.running = {11: 1}
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(quota, "used_bytes", self.measure)
        monkeypatch.setattr(quota, "_bytes_in_use", lambda folders: self.disk)
        monkeypatch.setattr(quota, "started_below", lambda top: dict(self.running))
        monkeypatch.setattr(quota, "start_time", lambda pid: self.running.get(pid))
        monkeypatch.setattr(quota, "limit_file_sizes", lambda pid, size: self.limited.append((pid, size)))
        monkeypatch.setattr(quota, "time", self)
        self.watch = DiskWatch((folder,), folder, LIMIT_MB, 1, tell=self.told.append)

    def monotonic(self) -> float:
        return self.now

    def measure(self, _: Any) -> int:
        self.measured.append(self.now)
        self.now += self.takes
        return self.home

    def pass_time(self, until: float) -> None:
        while self.now < until:
            self.watch.turn(self.now)
            self.now += 5.0


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def test_a_home_that_takes_long_is_measured_seldom(house: House) -> None:
    house.pass_time(1400.0)
    assert house.measured == [1000.0, 1202.0] and house.told == []


def test_as_much_more_on_the_disk_as_it_has_left_is_a_reason_to_measure_at_once(house: House) -> None:
    house.pass_time(1030.0)
    house.disk += 14_000 * MB  # somebody's: it has 15,000 left
    house.pass_time(1040.0)
    assert house.measured == [1000.0]
    house.disk += 2_000 * MB
    house.home += 16_000 * MB
    house.pass_time(1046.0)
    assert house.measured == [1000.0, 1042.0] and house.told[:1] == [False]
    assert house.limited[0] == (11, 0)


def test_who_starts_while_it_is_full_may_not_write_and_who_makes_room_does_not_wait(house: House) -> None:
    house.home = 21_000 * MB
    house.pass_time(1030.0)
    assert house.measured == [1000.0]
    house.running[12] = 2
    house.pass_time(1036.0)
    assert house.limited == [(11, 0), (12, 0)] and house.measured == [1000.0]
    house.home -= 1_500 * MB
    house.disk -= 1_500 * MB
    house.pass_time(1042.0)
    assert len(house.measured) == 2 and house.told[-1] is True
    assert house.limited[-2:] == [(11, LIMIT_MB * MB), (12, LIMIT_MB * MB)]
    told = len(house.told)
    house.pass_time(1100.0)
    assert len(house.told) == told, "nothing to say while all is well"


def test_others_who_write_all_the_time_do_not_have_a_nearly_full_home_measured_all_the_time(house: House) -> None:
    house.home = (LIMIT_MB - 1) * MB
    for _ in range(20):
        house.disk += 300 * MB
        house.pass_time(house.now + 5.0)
    assert len(house.measured) == 5, "every tenth part of the time at most"


FINE, FULL, DEFIED, RUNAWAY = DiskState
USES = {
    "below": ([900, 1000], FINE),
    "over once": ([1001], FULL),
    "written before everybody was reached": ([1001, 1900], FULL),
    "a little more": ([1001, 1900, 1964], FULL),
    "it grows": ([1001, 1900, 1965], DEFIED),
    "it grows from the fewest on": ([1001, 1900, 1800, 1865], DEFIED),
    "what the kernels wrote at last": ([1001, 1900, 1965, 2500], DEFIED),
    "without a kernel": ([1001, 1900, 1965, 2500, 2565], RUNAWAY),
    "below again": ([1001, 1900, 1965, 2500, 2565, 1000], FINE),
    "and over again": ([1001, 1900, 1965, 1000, 1500, 1564, 1628], FULL),
}


@pytest.mark.parametrize("what", USES)
def test_what_one_measurement_after_the_other_means(what: str) -> None:
    measured, expected = USES[what]
    use = DiskUse(1000 * MB)
    assert [use.take(each * MB) for each in measured][-1] is expected and use.last == measured[-1] * MB


def test_in_a_larger_home_more_is_taken_for_haste() -> None:
    use = DiskUse(20_000 * MB)
    assert [use.take(each * MB) for each in (20_001, 21_000, 22_000, 22_001)] == [FULL, FULL, FULL, DEFIED]


ID = "01234567-89ab-cdef-0123-456789abcdef"
START = {"do": "start", "kernel": ID, "argv": ["python"], "cwd": "/home/researcher"}


def test_kernels_end_and_then_the_workspace_each_on_record_first(tmp_path: Path, engine: UnsafeEngine) -> None:
    given = replace(plan(tmp_path), ends_at=time.time() + 3600, language="fr")
    given.state.touch()
    host = Host(given, engine)

    def measured(*megabytes: int) -> str | None:
        for each in megabytes:
            host._disk._use.take(each * MB)
        host._bar_kernels()
        return host._reason_to_end()

    assert measured(65, 200) is None and not host._kernels.is_barred
    assert measured(265) is None and host._kernels.is_barred
    assert "aucun noyau ne tourne" in host._kernels.answer(START)["problem"]
    assert measured(300) is None and "without any kernel" in str(measured(365))
    noted = [(n.limit, n.ended, n.found, n.allowed) for _, n in read_notes(given.state.parent / FOLDER)]
    assert noted == [("disk", "kernels", 265 * MB, 64 * MB), ("disk", "workspace", 365 * MB, 64 * MB)]
    assert measured(60) is None and not host._kernels.is_barred


def test_nobodys_kernels_end_for_a_shared_folder_that_grows(house: House, tmp_path: Path) -> None:
    """A colleague may write there; the sentence stays that it is full."""
    watch = DiskWatch((tmp_path,), tmp_path, 1, 1, what=quota.SHARED)
    for each in (2, 2, 100):
        house.home = each * MB
        watch.look()
    assert watch.state is DEFIED and "shared folder holds more" in watch.sentence
    assert "shared folder holds more" in json.loads((tmp_path / "shared.json").read_text())["problem"]


def test_what_the_server_writes_into_its_log_counts_as_well(
    tmp_path: Path, engine: UnsafeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor is inherited, and no folder that a sandbox sees holds the file."""
    given = plan(tmp_path)
    for folder in (given.home, given.inside):
        folder.mkdir()
    monkeypatch.setattr(quota, "started_below", lambda top: {})
    host = Host(given, engine)
    with given.log.open("wb") as log:
        log.write(bytes(65 * MB))
    host._disk.look()
    assert host._disk.state is FULL


def test_who_is_gone_before_they_can_be_limited_is_seen_to_write_all_the_same(house: House, tmp_path: Path) -> None:
    """A new process for each write: of none of those listed is there anybody left a moment later."""
    house.takes = 0.0
    house.home = (LIMIT_MB + 1) * MB
    house.monkeypatch.setattr(quota, "start_time", lambda pid: None)
    house.pass_time(1005.0)
    told = json.loads((tmp_path / "disk.json").read_text())["problem"]
    assert "nothing can be written now" in told and house.watch.state is FULL
    for _ in range(3):
        house.home += 600 * MB
        house.pass_time(house.now + 5.0)
    assert house.limited == [] and house.watch.state is DEFIED and house.watch.found == house.home
    told = json.loads((tmp_path / "disk.json").read_text())["problem"]
    assert told == house.watch.sentence and "grown although nothing may be written" in told

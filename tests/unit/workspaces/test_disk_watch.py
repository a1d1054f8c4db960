"""When a home is measured, by a clock and a file system in the test's hands; and who may not write in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from enclave.workspaces import quota
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
    assert house.limited[-2:] == [(11, 0), (12, 0)] and house.measured == [1000.0]
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

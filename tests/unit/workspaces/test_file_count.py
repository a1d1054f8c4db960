"""How many files a home may hold: what counts mean, when they are made, and that kernels end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enclave.workspaces import file_count
from enclave.workspaces.file_count import FILE, STILL_GROWING, FileCount, FileState, FileWatch, most_files

FINE, TOO_MANY, RUNAWAY = FileState.FINE, FileState.TOO_MANY, FileState.RUNAWAY


@pytest.mark.parametrize(("disk_mb", "files"), [(1, 1024), (64, 4096), (1024, 65_536), (20_480, 1_000_000)])
def test_a_home_may_hold_one_file_per_16_kib(disk_mb: int, files: int) -> None:
    assert most_files(disk_mb) == files


@pytest.mark.parametrize(
    ("counts", "states"),
    [
        ([900, 1000, 1001, 1100], [FINE] * 4),
        ([1101, 1050, 1001, 1000, 1090], [TOO_MANY, TOO_MANY, TOO_MANY, FINE, FINE]),
        ([1101, 9000, 9000 + STILL_GROWING], [TOO_MANY] * 3),  # what kernels made until they ended is not the server's
        ([1101, 9000, 8000, 8001 + STILL_GROWING], [TOO_MANY, TOO_MANY, TOO_MANY, RUNAWAY]),
        ([1101, 9000, 9501, 10], [TOO_MANY, TOO_MANY, RUNAWAY, RUNAWAY]),
    ],
)
def test_what_counts_mean(counts: list[int], states: list[FileState]) -> None:
    count = FileCount(1000)
    assert [count.take(found) for found in counts] == states


class Counted(FileWatch):
    """Counts, and keeps when."""

    looks = 0

    def count(self) -> FileState:
        self.looks += 1
        return super().count()


def test_it_counts_when_the_file_system_has_grown_by_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, inside, used = tmp_path / "home", tmp_path / "in", [1000]
    home.mkdir()
    inside.mkdir()
    monkeypatch.setattr(file_count, "_files_in_use", lambda folder: used[0])
    watch = Counted((home,), inside, 2000, kernels_ended=lambda: True)
    watch.look(100.0)
    watch.look(110.0)
    assert watch.looks == 1
    used[0] += 1998  # the home itself is one of its names
    watch.look(111.0)
    assert watch.looks == 1
    used[0] += 1
    watch.look(112.0)
    assert watch.looks == 2
    watch.look(112.0 + file_count.REST_SECONDS + 60)
    assert watch.looks == 3, "others may have deleted while this home grew"


def test_who_has_too_many_is_told_and_tidies_up(tmp_path: Path) -> None:
    home, inside, ended = tmp_path / "home", tmp_path / "in", [False]
    home.mkdir()
    inside.mkdir()
    watch = FileWatch((home,), inside, 100, kernels_ended=lambda: ended[0])
    for number in range(105):
        (home / str(number)).symlink_to("nowhere")
    assert watch.count() is FINE
    said = json.loads((inside / FILE).read_text())
    assert said["limit_files"] == 100 and "Delete" in said["problem"]
    for number in range(105, 1000):
        (home / str(number)).mkdir()
    assert watch.count() is TOO_MANY
    assert "no kernel runs" in json.loads((inside / FILE).read_text())["problem"]
    for number in range(1000, 1200 + STILL_GROWING):
        (home / str(number)).touch()
    assert watch.count() is TOO_MANY, "the kernels had not ended"
    ended[0] = True
    assert watch.count() is TOO_MANY
    for path in home.iterdir():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert watch.count() is FINE
    assert not (inside / FILE).exists()

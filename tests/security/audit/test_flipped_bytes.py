"""Flipping one byte anywhere in the log directory makes verification fail and say where."""

import random
import shutil

import pytest
from house import NOW

from audit import inventory
from audit.tiles import ENTRIES, parse_path
from audit.verify import verify_log


@pytest.fixture
def log_copy(finished_log, tmp_path, monkeypatch):
    # a byte of the checkpoint's size makes every tile "ahead"; there is nothing to wait for in a stopped log
    monkeypatch.setattr(inventory, "SETTLE_SECONDS", 0.0)
    shutil.copytree(finished_log.log_dir, tmp_path / "log")
    return tmp_path / "log"


def files_of(log_dir):
    return sorted(path for path in log_dir.rglob("*") if path.is_file())


def offsets_of(path, random_source):
    size = path.stat().st_size
    if path.name == "checkpoint":
        return list(range(size))
    some = {0, 1, 2, size // 2, size - 1, *(random_source.randrange(size) for _ in range(4))}
    return sorted(offset for offset in some if offset < size)


def test_the_log_is_worth_attacking(finished_log):
    names = {path.relative_to(finished_log.log_dir).as_posix() for path in files_of(finished_log.log_dir)}
    assert {"checkpoint", "tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"} <= names
    assert len([name for name in names if name.startswith("tile/entries/002.p/")]) >= 3
    assert len([name for name in names if name.startswith("tile/0/002.p/")]) >= 3
    assert len([name for name in names if name.startswith("tile/1/000.p/")]) >= 2
    earlier = (finished_log.home / "earlier.note").read_text()
    assert verify_log(finished_log.log_dir, finished_log.vkey, earlier).ok


def test_every_flipped_byte_is_found_and_located(finished_log, log_copy):
    chance = random.Random(7)
    flips = 0
    for path in files_of(log_copy):
        relative = path.relative_to(log_copy).as_posix()
        original = path.read_bytes()
        for offset in offsets_of(path, chance):
            changed = bytearray(original)
            changed[offset] ^= chance.choice([0x01, 0x20, 0x80, 0xFF])
            path.write_bytes(changed)
            report = verify_log(log_copy, finished_log.vkey)
            assert not report.ok, (relative, offset)
            named = {problem.file for problem in report.problems} - {None}
            if relative == "checkpoint":
                assert "checkpoint" in named, (offset, report.lines())
            else:
                assert named == {relative}, (offset, report.lines())
                check_entry(path, relative, offset, original, report)
            flips += 1
        path.write_bytes(original)
    assert flips > 250
    assert verify_log(log_copy, finished_log.vkey).ok


def check_entry(path, relative, offset, original, report):
    """The entry named is the one whose bytes (or hash) were changed."""
    tile = parse_path(relative)
    (problem,) = [item for item in report.problems if item.file == relative]
    if tile.level == ENTRIES:
        at, place = 0, -1
        while at <= offset:
            at += 2 + int.from_bytes(original[at : at + 2], "big")
            place += 1
        assert problem.entry == tile.index * 256 + place, (relative, offset)
    else:
        assert problem.entry == (tile.index * 256 + offset // 32) << (8 * tile.level)


@pytest.fixture
def house_copy(house, tmp_path, monkeypatch):
    monkeypatch.setattr(inventory, "SETTLE_SECONDS", 0.0)
    return house.copy(tmp_path / "house")


@pytest.mark.parametrize("with_policy", [True, False])
def test_every_flipped_byte_of_what_others_signed_is_found(house_copy, with_policy):
    """Cosigned checkpoints, stamped ones and their tokens; the witnesses' keys stand in the policy or in the log."""
    chance = random.Random(11)
    policy = house_copy.policy if with_policy else None
    flips = 0
    for folder, step in (("cosigned", 3), ("anchors", 17)):
        for path in files_of(house_copy.log_dir / folder):
            relative = path.relative_to(house_copy.log_dir).as_posix()
            original = path.read_bytes()
            for offset in range(chance.randrange(step), len(original), step):
                changed = bytearray(original)
                changed[offset] ^= chance.choice([0x01, 0x20, 0x80, 0xFF])
                path.write_bytes(changed)
                report = verify_log(house_copy.log_dir, house_copy.vkey, policy=policy, now=NOW)
                assert {problem.file for problem in report.problems} - {None} == {relative}, (relative, offset)
                flips += 1
            path.write_bytes(original)
    assert flips > 300
    assert verify_log(house_copy.log_dir, house_copy.vkey, policy=policy, now=NOW).ok


@pytest.mark.parametrize("change", ["cut", "grown", "emptied", "deleted"])
def test_files_that_others_signed_cut_grown_or_deleted(house_copy, change):
    for path in [*files_of(house_copy.log_dir / "cosigned"), *files_of(house_copy.log_dir / "anchors")]:
        relative = path.relative_to(house_copy.log_dir).as_posix()
        original = path.read_bytes()
        if change == "deleted":
            path.unlink()
        else:
            path.write_bytes({"cut": original[:-1], "grown": original + b"\n", "emptied": b""}[change])
        report = verify_log(house_copy.log_dir, house_copy.vkey, policy=house_copy.policy, now=NOW)
        # older cosigned checkpoints may go: only the newest are kept
        expected = set() if change == "deleted" and relative.startswith("cosigned") else {relative}
        assert {problem.file for problem in report.problems} == expected
        path.write_bytes(original)


@pytest.mark.parametrize("change", ["cut", "grown", "emptied", "deleted"])
def test_files_cut_grown_or_deleted(finished_log, log_copy, change):
    for path in files_of(log_copy):
        original = path.read_bytes()
        if change == "deleted":
            path.unlink()
        else:
            path.write_bytes({"cut": original[:-1], "grown": original + b"\n", "emptied": b""}[change])
        relative = path.relative_to(log_copy).as_posix()
        report = verify_log(log_copy, finished_log.vkey)
        # a partial that no longer belongs to the last checkpoint may be missing: nobody can know it was there
        size = report.size or 1
        needed = (
            relative == "checkpoint" or parse_path(relative).width == 256 or parse_path(relative).path in tail(size)
        )
        if change != "deleted" or needed:
            assert not report.ok, relative
            assert relative in {problem.file for problem in report.problems}, (relative, report.lines())
        path.write_bytes(original)


def tail(size):
    from audit.tiles import tiles_for

    return {tile.path for tile in tiles_for(size)}


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "cosigned/notes.txt",
        "cosigned/0700",
        "anchors/700",
        "anchors/x.tsr",
        "tile/0/003",
        "tile/0/002.p/255",
        "tile/2/000.p/1",
        "tile/entries/000.p/0",
        "tile/00/000",
        ".hidden",
        "tile/0/x",
    ],
)
def test_a_file_that_no_checkpoint_covers(finished_log, log_copy, name):
    (log_copy / name).parent.mkdir(parents=True, exist_ok=True)
    (log_copy / name).write_bytes(bytes(32))
    report = verify_log(log_copy, finished_log.vkey)
    assert [problem.file for problem in report.problems] == [name]


def test_links_are_no_files_of_a_log(finished_log, log_copy):
    tile = log_copy / "tile" / "0" / "000"
    moved = log_copy.parent / "elsewhere"
    tile.rename(moved)
    tile.symlink_to(moved)
    (log_copy / "folder").symlink_to("/")
    named = {problem.file for problem in verify_log(log_copy, finished_log.vkey).problems}
    assert {"tile/0/000", "folder"} <= named

"""Damaged, foreign, vanished and pruned: the index follows the log, and what it cannot follow it reports."""

import json
import os
import shutil

import pytest
from plain_answers import check_answers
from published_log import PublishedLog, pruned, random_entries

from audit.index import IndexUnwritable, LogIndex, Wanted
from audit.reader import LogUnreadable


@pytest.mark.parametrize("damage", ["deleted", "part-deleted", "cut", "flipped", "words-flipped", "manifest-garbage"])
def test_a_damaged_index_is_built_anew(log, damage):
    log.publish(random_entries(4500))
    LogIndex(log.log_dir, log.index_dir).refresh()
    kind = "words-*" if damage == "words-flipped" else "records-*"
    part = sorted(log.index_dir.glob(kind))[0]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    match damage:
        case "deleted":
            shutil.rmtree(log.index_dir)
        case "part-deleted":
            part.unlink()
        case "cut":
            part.write_bytes(data[:-9])
        case "manifest-garbage":
            (log.index_dir / "index.json").write_bytes(b'{"format": 1, "parts": 5}')
        case _:
            part.write_bytes(data)
    index = LogIndex(log.log_dir, log.index_dir)
    assert index.refresh() == 4500
    check_answers(index, log.log_dir, rounds=5)


def test_files_that_vanish_under_a_running_process_are_noticed(log):
    log.publish(random_entries(500))
    index = LogIndex(log.log_dir, log.index_dir)
    index.refresh()
    shutil.rmtree(log.index_dir)
    assert index.refresh() == 500
    assert index.count(Wanted(text="query")) > 0


def test_the_index_of_another_or_a_rewritten_log_is_not_used(log):
    log.publish(random_entries(600))
    LogIndex(log.log_dir, log.index_dir).refresh()
    for case, origin, entries in (
        ("other origin", "log.example.test/other", random_entries(600)),
        ("rewritten, same size", "log.example.test/enclave", random_entries(600, seed=2)),
        ("rewritten, longer", "log.example.test/enclave", random_entries(700, seed=3)),
        ("shorter", "log.example.test/enclave", random_entries(100)),
    ):
        other = PublishedLog(log.log_dir.parent / case, origin)
        other.publish(entries)
        shutil.copytree(log.index_dir, other.index_dir)
        index = LogIndex(other.log_dir, other.index_dir)
        assert index.refresh() == len(entries), case
        check_answers(index, other.log_dir, rounds=3)


def test_a_pruned_log(log):
    log.publish(random_entries(5000))
    index = LogIndex(log.log_dir, log.index_dir)
    index.refresh()
    log.prune(4700)
    first = 4700 // 256 * 256
    assert index.refresh() == 5001 - first
    assert index.search(Wanted(), limit=20_000)[-1].index == first
    with pytest.raises(LogUnreadable, match="pruned"):
        index.row(5)
    manifest = json.loads((log.index_dir / "index.json").read_bytes())
    assert manifest["parts"][0]["start"] == first
    from_nothing = LogIndex(log.log_dir, log.index_dir.with_name("anew"))
    assert from_nothing.refresh() == 5001 - first
    log.publish(random_entries(5000, log.size))
    assert index.refresh() == from_nothing.refresh() == 10_001 - first
    check_answers(from_nothing, log.log_dir, rounds=10)


def test_missing_bundles_need_a_pruning_record(log):
    log.publish(random_entries(600))
    (log.log_dir / "tile/entries/000").unlink()
    with pytest.raises(LogUnreadable, match="no audit:pruned record"):
        LogIndex(log.log_dir, log.index_dir).refresh()


def test_a_record_that_only_claims_a_pruning_hides_nothing(log):
    log.publish([*random_entries(600), pruned(600, 512), pruned(601, 10**6)])
    assert LogIndex(log.log_dir, log.index_dir).refresh() == 602


def test_a_missing_bundle_in_the_middle_is_reported(log):
    log.publish(random_entries(900))
    (log.log_dir / "tile/entries/001").unlink()
    with pytest.raises(LogUnreadable, match="entries/001"):
        LogIndex(log.log_dir, log.index_dir).refresh()


def test_superseded_files_go_after_a_while(log):
    index = LogIndex(log.log_dir, log.index_dir)
    for _ in range(3):
        log.publish(random_entries(20, log.size))
        index.refresh()
    assert len(list(log.index_dir.glob("records-*"))) == 3
    for path in log.index_dir.iterdir():
        os.utime(path, (0, 0))
    (log.index_dir / ".left-by-a-crash.tmp").touch()
    os.utime(log.index_dir / ".left-by-a-crash.tmp", (0, 0))
    log.publish(random_entries(20, log.size))
    index.refresh()
    kept = sorted(path.name for path in log.index_dir.iterdir() if path.stat().st_mtime > 0)
    assert sorted(path.name for path in log.index_dir.iterdir() if path.name != ".lock") == [
        name for name in kept if name != ".lock"
    ]
    # the part just superseded stays for whoever is reading it
    assert len(list(log.index_dir.glob("records-*"))) == 2


def test_places_with_odd_names(log):
    log.publish(random_entries(50))
    index = LogIndex(log.log_dir, log.index_dir / "it's [a] *place?")
    assert index.refresh() == 50
    assert index.count(Wanted(text="query")) == len(index.search(Wanted(text="query"))) > 0


def test_an_index_that_goes_away_is_no_empty_answer(log):
    log.publish(random_entries(50))
    index = LogIndex(log.log_dir, log.index_dir)
    index.refresh()
    shutil.rmtree(log.index_dir)
    with pytest.raises(LogUnreadable, match="removed"):
        index.count(Wanted(project="heart"))


def test_an_index_directory_that_cannot_be_made(log):
    log.publish(random_entries(3))
    log.index_dir.write_text("a file")
    with pytest.raises(IndexUnwritable, match="choose another directory"):
        LogIndex(log.log_dir, log.index_dir).refresh()

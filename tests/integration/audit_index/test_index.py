"""The index answers what reading the log answers, whatever happened to the index or the log before."""

import json
import random
import shutil
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from published_log import DATASETS, PEOPLE, PROJECTS, START, TABLES, PublishedLog, pruned, random_entries, sending

from audit.canonical import canonical_json
from audit.cli.lines import read_rows
from audit.index import GROUPINGS, IndexUnwritable, LogIndex, Wanted
from audit.index.wanted import passes
from audit.reader import LogUnreadable

TEXTS = ("QUERY:out", "çelik", "note,1", "0000001", "no json", 'rule":"no \\"such', "member", '"actor"', "x-icu", "zzz")


def random_wanted(pick: random.Random, size: int) -> Wanted:
    """One to three filters at random."""
    moments = [START + timedelta(minutes=pick.randrange(size + 1)) for _ in range(2)]
    possible = {
        "persons": frozenset(pick.sample([*PEOPLE, "x-icu@v1", "nobody"], pick.randrange(1, 3))),
        "project": pick.choice(PROJECTS),
        "dataset": pick.choice([*DATASETS, "icu", "ic"]),
        "table": pick.choice([*TABLES, "perso", ","]),
        "verb": pick.choice(["select", "describe"]),
        "type": pick.choice(["query:intent", "query:outcome", "query:refused"]),
        "types": frozenset(pick.sample(["query:intent", "query:outcome", "x:y"], 2)),
        "decision": pick.choice(["allow", "deny"]),
        "since": min(moments),
        "until": max(moments),
        "text": pick.choice(TEXTS),
        "request_id": f"r-{pick.randrange(size):08x}",
        "template": f"{pick.randrange(5):064x}",
        "subject": f"x-{pick.choice(DATASETS)}",
        "workspace": "w-none",
    }
    return Wanted(**{name: possible[name] for name in pick.sample(sorted(possible), pick.randrange(1, 4))})


def check_answers(index: LogIndex, log_dir, rounds: int = 60, seed: int = 5) -> None:
    """Compare the index with the plain filter over the log, for random questions."""
    rows = list(read_rows(log_dir))
    pick = random.Random(seed)
    size = rows[-1]["index"] + 1
    for wanted in [
        Wanted(),
        *(Wanted(text=text) for text in TEXTS),
        *(random_wanted(pick, size) for _ in range(rounds)),
    ]:
        expected = [row["index"] for row in reversed(rows) if passes(row, wanted)]
        found = index.search(wanted, limit=20_000)
        assert [row.index for row in found] == expected, wanted
        assert index.count(wanted) == len(expected), wanted
        assert [row.leaf_hash for row in found] == [row["leaf_hash"] for row in reversed(rows) if passes(row, wanted)]
        dated = sum(1 for row in found if row.at is not None)
        assert sum(count for _, count in index.histogram(wanted).bars) == dated, wanted


def test_every_filter_finds_what_reading_the_log_finds(log):
    log.publish(random_entries(5000))
    index = LogIndex(log.log_dir, log.index_dir)
    assert index.refresh() == 5000
    check_answers(index, log.log_dir)


def test_pages_follow_one_another(log):
    log.publish(random_entries(900))
    index = LogIndex(log.log_dir, log.index_dir)
    index.refresh()
    wanted, seen, before = Wanted(project="heart"), [], None
    while page := index.search(wanted, limit=37, before=before):
        seen += [row.index for row in page]
        before = seen[-1]
    assert seen == [row.index for row in index.search(wanted, limit=1000)]
    assert len(seen) == index.count(wanted)


def test_rows_groups_and_columns(log):
    log.publish(random_entries(700))
    index = LogIndex(log.log_dir, log.index_dir)
    index.refresh()
    rows = list(read_rows(log.log_dir))
    outcome = next(row for row in rows if row["type"] == "query:outcome" and row["tables"])
    found = index.row(outcome["index"])
    assert found.tables == tuple(outcome["tables"])
    assert found.dataset == outcome["dataset"]
    assert found.at == outcome["at"].replace(tzinfo=START.tzinfo)
    assert found.leaf["type"] == "query:outcome"
    assert json.loads(found.leaf_text) == found.leaf
    with pytest.raises(LogUnreadable, match="no record 700"):
        index.row(700)
    for by in GROUPINGS:
        assert all(isinstance(value, str) and count > 0 for value, count in index.groups(Wanted(), by))
    people = dict(index.groups(Wanted(), "person"))
    assert people == {name: sum(1 for row in rows if row["actor"] == name) for name in people}
    per_table = dict(index.groups(Wanted(verb="select"), "table"))
    assert per_table["visit"] == sum(1 for row in rows if row["verb"] == "select" and "visit" in (row["tables"] or ()))
    with pytest.raises(ValueError, match="grouping"):
        index.groups(Wanted(), "leaf; DROP VIEW records")
    columns = [name for name, *_ in index.connection().execute("DESCRIBE records").fetchall()]
    assert columns[:3] == ["index", "at", "type"]
    assert columns[-2:] == ["leaf", "leaf_hash"]


def test_values_are_never_sql(log):
    log.publish(random_entries(300))
    index = LogIndex(log.log_dir, log.index_dir)
    index.refresh()
    hostile = "' OR 1=1 --"
    for name in (
        "project",
        "dataset",
        "table",
        "verb",
        "type",
        "decision",
        "text",
        "request_id",
        "template",
        "subject",
    ):
        assert index.count(Wanted(**{name: hostile})) == 0
    assert index.count(Wanted(persons={hostile})) == 0
    assert index.count(Wanted(persons=frozenset())) == 0


def test_a_growing_log_gives_the_same_index_as_one_built_at_once(log):
    index = LogIndex(log.log_dir, log.index_dir)
    assert index.refresh() == 0
    assert index.search(Wanted()) == []
    steps = [1, 255, 300, 3540, 1, 4096, 2000, 900]
    for count in steps:
        log.publish(random_entries(count, log.size))
        assert index.refresh() == log.size
        assert index.search(Wanted(), limit=1)[0].index == log.size - 1
    check_answers(index, log.log_dir, rounds=15)
    anew = LogIndex(log.log_dir, log.index_dir.with_name("anew"))
    anew.refresh()
    query = 'SELECT * FROM records ORDER BY "index"'
    assert index.connection().execute(query).fetchall() == anew.connection().execute(query).fetchall()


def test_sealed_parts_are_made_of_smaller_ones(log):
    index = LogIndex(log.log_dir, log.index_dir)
    filler = [canonical_json({**sending(0), "writer": "w", "type": "a:b"})]
    log.publish(random_entries(3000) + filler * 60_000)
    index.refresh()
    log.publish(random_entries(5000, log.size))
    assert index.refresh() == log.size
    manifest = json.loads((log.index_dir / "index.json").read_bytes())
    assert [(part["start"], part["end"]) for part in manifest["parts"]] == [(0, 65_536), (65_536, 68_000)]
    assert index.count(Wanted(type="a:b")) == 60_000
    rows = [row for row in read_rows(log.log_dir) if row["type"] == "query:outcome"]
    assert index.count(Wanted(type="query:outcome", table="person")) == sum(
        "person" in (row["tables"] or ()) for row in rows
    )


def test_an_unchanged_log_is_not_read_again(log):
    log.publish(random_entries(300))
    LogIndex(log.log_dir, log.index_dir).refresh()
    before = {path.name: path.stat().st_mtime_ns for path in log.index_dir.iterdir()}
    assert LogIndex(log.log_dir, log.index_dir).refresh() == 300
    assert {path.name: path.stat().st_mtime_ns for path in log.index_dir.iterdir()} == before


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


def test_an_index_directory_that_cannot_be_made(log):
    log.publish(random_entries(3))
    log.index_dir.write_text("a file")
    with pytest.raises(IndexUnwritable, match="choose another directory"):
        LogIndex(log.log_dir, log.index_dir).refresh()


ASKING = """
import json, sys
from pathlib import Path
from audit.index import LogIndex, Wanted
index = LogIndex(Path(sys.argv[1]), Path(sys.argv[2]))
found = []
for _ in range(5):
    size = index.refresh()
    found.append((size, index.count(Wanted()), len(index.search(Wanted(text="query"), limit=5))))
print(json.dumps(found))
"""


def test_processes_refresh_at_once_while_the_log_grows(log):
    log.publish(random_entries(4000))
    command = [sys.executable, "-c", ASKING, log.log_dir, log.index_dir]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    own = LogIndex(log.log_dir, log.index_dir)
    for _ in range(6):
        log.publish(random_entries(150, log.size))
        assert own.refresh() == log.size
    for process in processes:
        answers, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors.decode()
        assert all(counted >= size >= 4000 and texts == 5 for size, counted, texts in json.loads(answers))
    check_answers(own, log.log_dir, rounds=5)


def test_threads_ask_while_one_refreshes(log):
    log.publish(random_entries(2000))
    index = LogIndex(log.log_dir, log.index_dir)
    index.refresh()
    failures = []

    def ask() -> None:
        try:
            for turn in range(15):
                assert index.count(Wanted(type="query:outcome", text=TEXTS[turn % 5])) >= 0
                assert len(index.search(Wanted(project="heart"), limit=5)) == 5
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        log.publish(random_entries(100, log.size))
        index.refresh()
    for thread in threads:
        thread.join(60)
    assert failures == []

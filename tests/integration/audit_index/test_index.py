"""The index answers what reading the log answers, while the log grows and others ask."""

import json
import subprocess
import sys
import threading

import pytest
from plain_answers import TEXTS, check_answers
from published_log import START, random_entries, sending

from audit.canonical import canonical_json
from audit.cli.lines import read_rows
from audit.index import GROUPINGS, LogIndex, Wanted
from audit.reader import LogUnreadable


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

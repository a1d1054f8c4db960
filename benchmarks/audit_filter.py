"""Filtering one million audit records: the index against scanning entries in Python and against SQLite with indexes.

    python benchmarks/audit_filter.py [--records 1000000] [--repeats 7] [--scans 1]

Writes a log of generated records (real bundles, tiles and checkpoint), builds the index from it, and asks each filter
for its 50 newest records and its count. Baselines in the same run and on the same records: the way the portal used to
go (every entry as a Python object, scanned for each filter), and SQLite with an index per column. Prints a table and
writes ``benchmarks/results/audit_filter.json``.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from generated_records import write_log

from audit.index import LogIndex, Wanted
from audit.index.mapping import join_statements, row_of
from audit.index.wanted import passes
from audit.reader import read_raw_entries

RESULTS = Path(__file__).parent / "results" / "audit_filter.json"
INDEXED = ("actor", "subject", "project", "dataset", "verb", "type", "decision", "request_id", "template", "at")
Filters = dict[str, Wanted]


def make_filters(home: Path, count: int) -> Filters:
    """Varied questions about records that are there."""
    opened: dict[str, Any] = {}
    rows = [
        row_of(index, entry) for index, entry in enumerate(read_raw_entries(home / "log", count // 2, count // 2 + 400))
    ]
    join_statements(rows, opened)
    intent = next(row for row in rows if row["type"] == "query:intent")
    at = intent["at"].replace(tzinfo=UTC)
    day, month = {"since": at, "until": at + timedelta(days=1)}, {"since": at, "until": at + timedelta(days=30)}
    who = {"persons": frozenset({intent["actor"]})}
    return {
        "everything": Wanted(),
        "person": Wanted(**who),
        "three persons": Wanted(persons=frozenset(row["actor"] for row in rows[:3])),
        "project": Wanted(project=intent["project"]),
        "dataset, any version": Wanted(dataset="icu"),
        "dataset@version": Wanted(dataset="icu@v2"),
        "table": Wanted(table="note"),
        "verb": Wanted(verb="describe"),
        "type": Wanted(type="token:refused"),
        "decision": Wanted(decision="deny"),
        "one day": Wanted(**day),
        "request": Wanted(request_id=intent["request_id"]),
        "template": Wanted(template=intent["template"]),
        "text: a word": Wanted(text="Oncology@V3"),
        "text: part of a person": Wanted(text=intent["actor"][:6]),
        "text: in every record": Wanted(text="pid"),
        "text: nowhere": Wanted(text="no such words"),
        "text: part of an identifier": Wanted(text=intent["request_id"][3:15]),
        "person, project, month": Wanted(**who, project=intent["project"], **month),
        "project, table, type": Wanted(project=intent["project"], table="note", type="query:outcome"),
        "person, dataset, verb": Wanted(**who, dataset="icu", verb="select"),
        "table, text, month": Wanted(table="note", text="gibleed@v1", **month),
        "refusals of a project by text": Wanted(project=intent["project"], decision="deny", text="not-a-member"),
    }


def times_ms(work: Callable[[], object], repeats: int) -> list[float]:
    """Milliseconds of each repetition, sorted."""
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        found.append((time.perf_counter() - begun) * 1000)
    return sorted(found)


def peak_mb() -> float:
    """Greatest resident memory of this process (``ru_maxrss`` would count the parent's)."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)


def measure_index(home: Path, filters: Filters, repeats: int) -> dict[str, Any]:
    """Build (in this process), then ask every filter; ``first_ms`` is the first time it is asked."""
    begun = time.perf_counter()
    LogIndex(home / "log", home / "index").refresh()
    build = time.perf_counter() - begun
    built_mb = peak_mb()
    begun = time.perf_counter()
    index = LogIndex(home / "log", home / "index")
    records = index.refresh()
    opened = time.perf_counter() - begun
    unchanged = statistics.median(times_ms(index.refresh, 50))
    asked = {}
    for name, wanted in filters.items():

        def ask(wanted: Wanted = wanted) -> None:
            # text answers are remembered for the page that asked; here every repetition has to find them again
            index._texts._answers.clear()
            index.search(wanted, limit=50)
            index.count(wanted)

        first = times_ms(ask, 1)[0]
        times = times_ms(ask, repeats)
        figures = {"p50_ms": statistics.median(times), "max_ms": times[-1], "first_ms": first}
        asked[name] = {"records": index.count(wanted), **{key: round(value, 1) for key, value in figures.items()}}
    size = sum(path.stat().st_size for path in (home / "index").iterdir())
    return {
        "records": records,
        "build_seconds": round(build, 1),
        "records_per_second": round(records / build),
        "bytes_per_record": round(size / records),
        "open_and_check_seconds": round(opened, 2),
        "refresh_unchanged_ms": round(unchanged, 2),
        "peak_mb_after_build": built_mb,
        "filters": asked,
    }


def measure_scan(home: Path, filters: Filters, repeats: int) -> dict[str, Any]:
    """The former way: all entries in memory as Python objects, each filter a scan (newest first, and the count)."""
    begun = time.perf_counter()
    opened: dict[str, Any] = {}
    size = int((home / "log" / "checkpoint").read_text().split("\n")[1])
    rows = []
    for index, entry in enumerate(read_raw_entries(home / "log", 0, size)):
        row = row_of(index, entry)
        join_statements([row], opened)
        rows.append(row)
    loaded = time.perf_counter() - begun
    found = {}
    for name, wanted in filters.items():

        def ask(wanted: Wanted = wanted) -> int:
            passed = [row for row in reversed(rows) if passes(row, wanted)]
            return len(passed[:50]) and len(passed)

        found[name] = {"records": ask(), "p50_ms": round(statistics.median(times_ms(ask, repeats)), 1)}
    return {"load_seconds": round(loaded, 1), "peak_mb": peak_mb(), "filters": found}


def measure_sqlite(home: Path, filters: Filters, repeats: int) -> dict[str, Any]:
    """SQLite, one index per column; table names in a table of their own; text by ``instr`` over the lower leaf."""
    begun = time.perf_counter()
    database = sqlite3.connect(home / "baseline.sqlite")
    database.execute("PRAGMA synchronous=OFF")
    columns = (*INDEXED, "workspace", "leaf")
    database.execute(f"CREATE TABLE record (id INTEGER PRIMARY KEY, {', '.join(columns)})")
    database.execute("CREATE TABLE reads (name, id)")
    opened: dict[str, Any] = {}
    size = int((home / "log" / "checkpoint").read_text().split("\n")[1])
    for index, entry in enumerate(read_raw_entries(home / "log", 0, size)):
        row = row_of(index, entry)
        join_statements([row], opened)
        row["at"], row["leaf"] = row["at"].isoformat(), row["leaf"].lower()
        database.execute(
            f"INSERT INTO record VALUES ({','.join('?' * (len(columns) + 1))})",
            [index, *(row[name] for name in columns)],
        )
        database.executemany("INSERT INTO reads VALUES (?, ?)", [(name, index) for name in row["tables"] or ()])
    for column in INDEXED:
        database.execute(f"CREATE INDEX by_{column} ON record ({column}, id)")
    database.execute("CREATE INDEX by_table ON reads (name, id)")
    database.execute("ANALYZE")
    database.commit()
    built = time.perf_counter() - begun
    found = {}
    for name, wanted in filters.items():
        where, values = sqlite_condition(wanted)
        page = f"SELECT * FROM record WHERE {where} ORDER BY id DESC LIMIT 50"
        count = f"SELECT count(*) FROM record WHERE {where}"

        def ask(page: str = page, count: str = count, values: list[Any] = values) -> int:
            database.execute(page, values).fetchall()
            return int(database.execute(count, values).fetchone()[0])

        found[name] = {"records": ask(), "p50_ms": round(statistics.median(times_ms(ask, repeats)), 1)}
    size = (home / "baseline.sqlite").stat().st_size
    return {"build_seconds": round(built, 1), "bytes": size, "filters": found}


def sqlite_condition(wanted: Wanted) -> tuple[str, list[Any]]:
    """The same question for SQLite."""
    found: list[tuple[str, list[Any]]] = []
    for name in ("project", "verb", "type", "decision", "request_id", "template"):
        if value := getattr(wanted, name):
            found.append((f"{name} = ?", [value]))
    if wanted.persons:
        marks = ",".join("?" * len(wanted.persons))
        found.append((f"(actor IN ({marks}) OR subject IN ({marks}))", [*wanted.persons, *wanted.persons]))
    if wanted.dataset:
        found.append(("(dataset = ? OR dataset GLOB ?)", [wanted.dataset, f"{wanted.dataset}@*"]))
    if wanted.table:
        found.append(("id IN (SELECT id FROM reads WHERE name = ?)", [wanted.table]))
    if wanted.since:
        found.append(("at >= ?", [wanted.since.replace(tzinfo=None).isoformat()]))
    if wanted.until:
        found.append(("at < ?", [wanted.until.replace(tzinfo=None).isoformat()]))
    if wanted.text:
        found.append(("instr(leaf, ?)", [wanted.text.lower()]))
    return " AND ".join(sql for sql, _ in found) or "1", [value for _, values in found for value in values]


MEASURES = {"index": measure_index, "python_scan": measure_scan, "sqlite": measure_sqlite}


def measure_apart(kind: str, home: Path, records: int, repeats: int) -> dict[str, Any]:
    """Measure in a process of its own, so that memory figures are its own."""
    command = [sys.executable, __file__, "--only", kind, "--home", str(home)]
    command += ["--records", str(records), "--repeats", str(repeats)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=1800)
    return json.loads(done.stdout)


def main() -> None:
    """Run, print, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--scans", type=int, default=1, help="repetitions of the slow baselines")
    parser.add_argument("--only", choices=tuple(MEASURES))
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    if options.only:
        filters = make_filters(options.home, options.records)
        print(json.dumps(MEASURES[options.only](options.home, filters, options.repeats)))
        return
    with tempfile.TemporaryDirectory(prefix="enb") as place:
        home = Path(place)
        write_log(home, options.records)
        repeats = {"index": options.repeats, "python_scan": options.scans, "sqlite": options.scans}
        results = {kind: measure_apart(kind, home, options.records, repeats[kind]) for kind in MEASURES}
    report(results, options.records)


def report(results: dict[str, Any], records: int) -> None:
    """Print a line per filter and write the file; every way must have found the same number of records."""
    index, scan, sqlite = (results[kind]["filters"] for kind in MEASURES)
    print(f"{'filter':<32}{'records':>9}{'index p50':>11}{'Python':>10}{'ratio':>8}{'SQLite':>10}{'ratio':>8}  (ms)")
    for name, own in index.items():
        assert own["records"] == scan[name]["records"] == sqlite[name]["records"], name
        own["ratio_python_scan"] = round(scan[name]["p50_ms"] / own["p50_ms"], 1)
        own["ratio_sqlite"] = round(sqlite[name]["p50_ms"] / own["p50_ms"], 1)
        print(
            f"{name:<32}{own['records']:>9}{own['p50_ms']:>11.1f}{scan[name]['p50_ms']:>10.1f}"
            f"{own['ratio_python_scan']:>8}{sqlite[name]['p50_ms']:>10.1f}{own['ratio_sqlite']:>8}"
        )
    typical = {kind: statistics.median(one["p50_ms"] for one in results[kind]["filters"].values()) for kind in MEASURES}
    summary = {f"median_of_p50_ms_{kind}": round(value, 1) for kind, value in typical.items()}
    summary["slowest_p50_ms_index"] = max(own["p50_ms"] for own in index.values())
    print(
        json.dumps({**summary, **{key: value for key, value in results["index"].items() if key != "filters"}}, indent=1)
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"records": records, "summary": summary, **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

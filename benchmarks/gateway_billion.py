"""A billion rows under a memory limit of 4 GB: the gateway (ADBC) against raw DuckDB on the same file, same limits.

``python benchmarks/gateway_billion.py [--rows N] [--repeat N]``: one table of measurements, five million people; about
8 GB of disk and 15 minutes for a billion. Raw DuckDB runs in a process of its own, so that both sides start with the
same memory; the ways take turns. Running out of memory ends the benchmark with an error. Writes
benchmarks/results/gateway_billion.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from rounds import NO_CAP, interleaved, load_stack, machine, write

MEMORY_MB = 4096
PEOPLE = 5_000_000
BYTES_PER_ROW = 12
DATA = (
    f"CREATE TABLE person AS SELECT i::INTEGER AS person_id, (1920 + hash(i) % 100)::SMALLINT AS year_of_birth,"
    f" CASE hash(i + 7) % 2 WHEN 0 THEN 'F' ELSE 'M' END AS sex FROM range({PEOPLE}) r(i)",
    "CREATE TABLE measurement AS SELECT (hash(i) % {people})::INTEGER AS person_id,"
    " (hash(i + 1) % 900)::SMALLINT AS code, DATE '2015-01-01' + (hash(i + 2) % 4000)::INTEGER AS day,"
    " (hash(i + 3) % 10000)::INTEGER AS value FROM range({rows}) r(i)",
)
QUERIES = {
    "scan": "SELECT count(*), sum(value), min(day), max(day) FROM measurement",
    "filter": "SELECT count(*), avg(value) FROM measurement WHERE code = 17 AND day >= DATE '2020-01-01'",
    "group-by, 900 groups": "SELECT code, count(*), avg(value) FROM measurement GROUP BY code",
    "group-by, 5 million groups": (
        "SELECT person_id, sum(value) AS total FROM measurement GROUP BY person_id"
        " ORDER BY total DESC, person_id LIMIT 10"
    ),
    "join with 5 million people": (
        "SELECT sex, year_of_birth, count(*), avg(value) FROM measurement JOIN person USING (person_id) GROUP BY ALL"
    ),
    "distinct count": "SELECT count(DISTINCT person_id) FROM measurement",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--raw", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.raw:
        serve_raw(arguments.raw)
        return
    needed = arguments.rows * BYTES_PER_ROW
    if shutil.disk_usage("/tmp").free < needed:
        raise SystemExit(f"Expected {needed >> 30} GiB of free disk below /tmp. Ask for fewer rows with --rows.")
    os.environ["ENCLAVE_QUERY_MEMORY_MB"] = str(MEMORY_MB)
    module = load_stack()
    with module.running_stack() as stack:
        statements = tuple(sql.format(people=PEOPLE, rows=arguments.rows) for sql in DATA)
        stack.add_project(statements=statements, **NO_CAP)
        file = stack.settings.projects_dir / "heart-study" / "extracts" / "v1" / "extract.duckdb"
        started = machine()
        found = measure(stack, file, arguments.repeat)
        size = file.stat().st_size
    results = {"machine": started, "load_at_end": machine()["load_1_5_15"], "rows": arguments.rows}
    write("gateway_billion", {**results, "file_bytes": size, "memory_limit_mb": MEMORY_MB, "queries": found})


def measure(stack: Any, file: Path, repeat: int) -> list[dict[str, Any]]:
    """Median, fastest and slowest seconds per query and way; the ratio of the medians."""
    raw = subprocess.Popen(
        [sys.executable, __file__, "--raw", str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    rows = []
    try:
        for name, sql in QUERIES.items():
            with stack.connect() as connection, connection.cursor() as cursor:  # anew: a token holds ten minutes
                ways = {"raw": _asked(raw, sql), "adbc": _adbc(cursor, sql)}
                if ways["raw"]() != ways["adbc"]():
                    raise SystemExit(f"{name}: the gateway's result is not raw DuckDB's")
                times = interleaved(ways, repeat, warm=0)
            row: dict[str, Any] = {"query": name}
            for way, seconds in times.items():
                row |= {f"{way}_s": round(statistics.median(seconds), 3)}
                row |= {f"{way}_fastest_s": round(min(seconds), 3), f"{way}_slowest_s": round(max(seconds), 3)}
            rows.append(row | {"ratio": round(row["adbc_s"] / row["raw_s"], 3)})
    finally:
        raw.kill()
        raw.wait(timeout=30)
    return rows


def _asked(raw: subprocess.Popen[str], sql: str) -> Callable[[], Any]:
    def run() -> Any:
        assert raw.stdin is not None and raw.stdout is not None
        raw.stdin.write(json.dumps(sql) + "\n")
        raw.stdin.flush()
        return _comparable(json.loads(raw.stdout.readline()))

    return run


def _adbc(cursor: Any, sql: str) -> Callable[[], Any]:
    def run() -> Any:
        cursor.execute(sql)
        rows = cursor.fetch_arrow_table().to_pylist()
        return _comparable(json.loads(json.dumps([list(row.values()) for row in rows], default=str)))

    return run


def _comparable(rows: list[list[Any]]) -> list[list[Any]]:
    """Averages over floats differ in their last digits from run to run."""
    plain = [[round(value, 6) if isinstance(value, float) else value for value in row] for row in rows]
    return sorted(plain, key=str)


def serve_raw(file: Path) -> None:
    """Answers one statement a line with its rows, as raw DuckDB gives them under the worker's limits."""
    spill = file.parent / "raw-spill"
    config = {"memory_limit": f"{MEMORY_MB}MiB", "threads": os.cpu_count() or 1, "temp_directory": str(spill)}
    with duckdb.connect(str(file), read_only=True, config=config) as connection:
        for line in sys.stdin:
            rows = connection.sql(json.loads(line)).to_arrow_reader(65_536).read_all().to_pylist()
            print(json.dumps([list(row.values()) for row in rows], default=str), flush=True)


if __name__ == "__main__":
    main()

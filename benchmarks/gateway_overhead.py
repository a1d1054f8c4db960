"""What the gateway costs: the same queries through the whole stack over ADBC and in raw DuckDB, in the same run.

``python benchmarks/gateway_overhead.py [--rows N] [--repeat N]``: audit daemon with fsync, front, sandboxed worker,
stock ADBC client on a unix socket. Prints ratios to raw DuckDB on the same file and writes
benchmarks/results/gateway_overhead.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import duckdb
from rounds import ROOT, load_stack

QUERIES = {
    "point": "SELECT * FROM event WHERE event_id = 4711",
    "aggregate": "SELECT kind, count(*), avg(value) FROM event GROUP BY kind ORDER BY kind",
    "join": "SELECT p.sex, count(*) FROM event e JOIN person p USING (person_id) GROUP BY ALL",
    "stream": "SELECT * FROM event",
}


def median_seconds(run: Callable[[], int], repeat: int) -> tuple[float, int]:
    """Median over ``repeat`` runs after one to warm up, and the bytes of the last one."""
    size = run()
    times = []
    for _ in range(repeat):
        started_at = time.perf_counter()
        size = run()
        times.append(time.perf_counter() - started_at)
    return statistics.median(times), size


def raw_runner(connection: duckdb.DuckDBPyConnection, sql: str) -> Callable[[], int]:
    """The same engine settings that matter, in process, drained batch by batch."""
    return lambda: sum(batch.nbytes for batch in connection.cursor().sql(sql).to_arrow_reader(65_536))


def adbc_runner(cursor: Any, sql: str) -> Callable[[], int]:
    def run() -> int:
        cursor.execute(sql)
        with cursor.fetch_record_batch() as reader:
            return sum(batch.nbytes for batch in reader)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=9)
    arguments = parser.parse_args()
    tables = (
        "CREATE TABLE person AS SELECT i AS person_id, ['F', 'M'][1 + i % 2] AS sex FROM range(10_000) r(i)",
        "CREATE TABLE event AS SELECT i AS event_id, i % 10_000 AS person_id, i % 40 AS kind, random() AS value,"
        f" 'note ' || (i % 1000) AS note FROM range({arguments.rows}) r(i)",
    )
    stack_module = load_stack()
    results: dict[str, Any] = {"rows": arguments.rows, "repeat": arguments.repeat, "queries": {}}
    with stack_module.running_stack() as stack:
        stack.add_project(statements=tables)
        file = stack.settings.projects_dir / "heart-study" / "extracts" / "v1" / "extract.duckdb"
        raw = duckdb.connect(str(file), read_only=True)
        with stack.connect() as connection, connection.cursor() as cursor:
            for name, sql in QUERIES.items():
                repeat = arguments.repeat if name != "stream" else max(3, arguments.repeat // 3)
                baseline, size = median_seconds(raw_runner(raw, sql), repeat)
                gateway, _ = median_seconds(adbc_runner(cursor, sql), repeat)
                results["queries"][name] = {
                    "raw_ms": round(baseline * 1000, 2),
                    "gateway_ms": round(gateway * 1000, 2),
                    "ratio": round(gateway / baseline, 2),
                    "gateway_mb_per_s": round(size / gateway / 1e6, 1),
                }
                print(name, results["queries"][name], flush=True)
        raw.close()
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    (folder / "gateway_overhead.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

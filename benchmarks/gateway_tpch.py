"""TPC-H through the whole stack over ADBC, against raw DuckDB on the same file and against raw DuckDB on Parquet.

``python benchmarks/gateway_tpch.py [--scale N] [--repeat N]``: data by ``tpchgen-cli``; scale 1 by default, 10 for the
issue's targets (12 GB of disk, 20 minutes). Same memory limit and threads everywhere; each result is compared with
raw DuckDB's once. Writes benchmarks/results/gateway_tpch_sfN.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from rounds import NO_CAP, ROOT, generate_tpch, interleaved, load_stack, machine, write

from enclave.gateway.worker_process import worker_limits


def queries() -> dict[str, str]:
    """Number → statement."""
    text = (ROOT / "benchmarks" / "tpch" / "queries.sql").read_text()
    found = {}
    for paragraph in text.split("\n\n")[1:]:
        number, statement = paragraph.strip().split("\n", 1)
        found[number.removeprefix("-- ")] = statement.rstrip(";\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    os.environ.setdefault("ENCLAVE_QUERY_MEMORY_MB", "8192" if arguments.scale > 3 else "2048")
    module = load_stack()
    with tempfile.TemporaryDirectory(prefix="tpch", dir="/var/tmp") as folder, module.running_stack() as stack:
        statements = generate_tpch(Path(folder), arguments.scale)
        stack.add_project(statements=tuple(statements), **NO_CAP)
        file = stack.settings.projects_dir / "heart-study" / "extracts" / "v1" / "extract.duckdb"
        started = machine()
        found = measure(stack, file, Path(folder), arguments.repeat)
    results = {"machine": started, "load_at_end": machine()["load_1_5_15"], "scale": arguments.scale}
    write(f"gateway_tpch_sf{arguments.scale:g}", {**results, "repeat": arguments.repeat, **found})


def measure(stack: Any, native: Path, parquet: Path, repeat: int) -> dict[str, Any]:
    """Medians per query and the ratios of geometric means."""
    limits = worker_limits(stack.settings)
    config = {"memory_limit": f"{limits.memory}MiB", "threads": limits.threads}
    on_native = duckdb.connect(str(native), read_only=True, config=config)
    on_parquet = duckdb.connect(config=config)
    for data in sorted(parquet.glob("*.parquet")):
        on_parquet.execute(f"CREATE VIEW {data.stem} AS FROM read_parquet('{data}')")
    rows = []
    for number, sql in queries().items():
        with stack.connect() as connection, connection.cursor() as cursor:  # anew: a token holds ten minutes
            ways = {
                "raw": _raw(on_native, sql),
                "adbc": _adbc(cursor, sql),
                "parquet": _raw(on_parquet, sql),
                "raw_again": _raw(on_native, sql),
            }
            _check_same(ways["raw"](), ways["adbc"](), number)
            times = interleaved(ways, repeat)
        rows.append({"query": number} | {f"{way}_ms": round(_median_ms(taken), 2) for way, taken in times.items()})
    on_native.close()
    on_parquet.close()
    return {"ratios": _ratios(rows), "queries": rows}


def _raw(connection: duckdb.DuckDBPyConnection, sql: str) -> Callable[[], list[Any]]:
    return lambda: [row for batch in connection.cursor().sql(sql).to_arrow_reader(65_536) for row in batch.to_pylist()]


def _adbc(cursor: Any, sql: str) -> Callable[[], list[Any]]:
    def run() -> list[Any]:
        cursor.execute(sql)
        with cursor.fetch_record_batch() as reader:
            return [row for batch in reader for row in batch.to_pylist()]

    return run


def _median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def _check_same(expected: list[Any], found: list[Any], number: str) -> None:
    """Sums over floats differ in their last digits from run to run; everything else must be equal."""
    if len(expected) != len(found) or any(not _alike(a, b) for a, b in zip(expected, found, strict=True)):
        raise SystemExit(f"TPC-H query {number}: the gateway's result is not raw DuckDB's")


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        abs(one[key] - other[key]) <= 1e-9 * abs(one[key]) if isinstance(one[key], float) else one[key] == other[key]
        for key in one
    )


def _ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    def mean(way: str, base: str) -> float:
        return round(statistics.geometric_mean([row[f"{way}_ms"] / row[f"{base}_ms"] for row in rows]), 3)

    def total(way: str) -> float:
        return round(sum(row[f"{way}_ms"] for row in rows), 1)

    return {
        "adbc_to_raw_geometric_mean": mean("adbc", "raw"),
        "raw_again_to_raw_geometric_mean": mean("raw_again", "raw"),
        "adbc_to_parquet_geometric_mean": mean("adbc", "parquet"),
        "adbc_to_raw_total": round(total("adbc") / total("raw"), 3),
        "adbc_to_parquet_total": round(total("adbc") / total("parquet"), 3),
        "milliseconds_more_per_query": round((total("adbc") - total("raw")) / len(rows), 2),
        "raw_total_ms": total("raw"),
        "adbc_total_ms": total("adbc"),
        "parquet_total_ms": total("parquet"),
    }


if __name__ == "__main__":
    main()

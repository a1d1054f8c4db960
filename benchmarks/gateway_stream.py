"""``SELECT *`` through the whole stack: rate, first row, the front's memory – thin client, ADBC, raw Arrow readers.

``python benchmarks/gateway_stream.py [--scale N] [--repeat N]``: lineitem of TPC-H, 6 million rows at 1, 60
million at 10. Every way drains all batches and keeps none. Writes benchmarks/results/gateway_stream_sfN.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import flight
from rounds import NO_CAP, generate_tpch, load_stack, machine, write

from enclave.gateway.worker_process import worker_limits

SQL = "SELECT * FROM lineitem"
BATCH_ROWS = 65_536


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    module = load_stack()
    with tempfile.TemporaryDirectory(prefix="tpch", dir="/var/tmp") as folder, module.running_stack() as stack:
        statements = [sql for sql in generate_tpch(Path(folder), arguments.scale) if " lineitem " in sql]
        stack.add_project(statements=tuple(statements), **NO_CAP)
        file = stack.settings.projects_dir / "heart-study" / "extracts" / "v1" / "extract.duckdb"
        found = measure(stack, file, Path(folder) / "lineitem.parquet", arguments.repeat)
    write(f"gateway_stream_sf{arguments.scale:g}", {"scale": arguments.scale, "repeat": arguments.repeat, **found})


def measure(stack: Any, native: Path, parquet: Path, repeat: int) -> dict[str, Any]:
    """Seconds, rate and first row per way; ratios to the raw reader on the same file."""
    limits = worker_limits(stack.settings)
    config = {"memory_limit": f"{limits.memory}MiB", "threads": limits.threads}
    on_native = duckdb.connect(str(native), read_only=True, config=config)
    on_parquet = duckdb.connect(config=config)
    started = machine()
    with stack.connect() as connection, connection.cursor() as cursor, _PeakMemory(stack.front.pid) as memory:
        ways: dict[str, Callable[[], Iterator[pa.RecordBatch]]] = {
            "raw": lambda: iter(on_native.cursor().sql(SQL).to_arrow_reader(BATCH_ROWS)),
            "raw_parquet": lambda: iter(
                on_parquet.cursor().sql(f"FROM read_parquet('{parquet}')").to_arrow_reader(BATCH_ROWS)
            ),
            "thin": _thin(stack),
            "adbc": lambda: _adbc(cursor),
        }
        for run in ways.values():
            _drain(run)  # warm
        taken: dict[str, list[tuple[float, float, int, int]]] = {name: [] for name in ways}
        names = list(ways)
        for turn in range(repeat):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                taken[name].append(_drain(ways[name]))
    found: dict[str, Any] = {name: _figures(runs) for name, runs in taken.items()}
    for name in ("thin", "adbc"):
        found[name]["ratio_to_raw"] = round(found[name]["seconds"] / found["raw"]["seconds"], 2)
        found[name]["ratio_to_raw_parquet"] = round(found[name]["seconds"] / found["raw_parquet"]["seconds"], 2)
    return {
        "machine": started,
        "load_at_end": machine()["load_1_5_15"],
        "front_memory_mb": {"before": memory.before_mb, "peak": memory.peak_mb},
        "ways": found,
    }


def _thin(stack: Any) -> Callable[[], Iterator[pa.RecordBatch]]:
    """The thin client's one call, without keeping the rows as ``sql()`` does."""
    channel = flight.connect(f"grpc+unix://{stack.socket()}")
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {stack.token()}".encode())])
    text = SQL.encode()

    def run() -> Iterator[pa.RecordBatch]:
        ticket = flight.Ticket(b"enclave.query/1\n" + os.urandom(16) + struct.pack("!I", len(text)) + text)
        return (chunk.data for chunk in channel.do_get(ticket, options))

    return run


def _adbc(cursor: Any) -> Iterator[pa.RecordBatch]:
    cursor.execute(SQL)
    with cursor.fetch_record_batch() as reader:
        yield from reader


def _drain(run: Callable[[], Iterator[pa.RecordBatch]]) -> tuple[float, float, int, int]:
    """Seconds to the end and to the first row, rows, bytes."""
    started_at = time.perf_counter()
    first_at, rows, size = 0.0, 0, 0
    for batch in run():
        first_at = first_at or time.perf_counter() - started_at
        rows += batch.num_rows
        size += batch.nbytes
    return time.perf_counter() - started_at, first_at, rows, size


def _figures(runs: list[tuple[float, float, int, int]]) -> dict[str, Any]:
    seconds = statistics.median(run[0] for run in runs)
    return {
        "seconds": round(seconds, 3),
        "fastest": round(min(run[0] for run in runs), 3),
        "slowest": round(max(run[0] for run in runs), 3),
        "first_row_ms": round(statistics.median(run[1] for run in runs) * 1000, 1),
        "rows": runs[0][2],
        "mb_per_second": round(runs[0][3] / seconds / 1e6),
    }


class _PeakMemory:
    """Resident memory of one process, looked at every 50 ms; mapped batches count until they are let go."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before_mb = self.peak_mb = self._now()

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.peak_mb = max(self.peak_mb, self._now())

    def _now(self) -> int:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main()

"""Acknowledged audit appends per second, against SQLite (WAL, synchronous=FULL) with the same entries.

Sixteen writers (four processes of four threads) write for a few seconds each; every append is durable before that
writer's next one begins. Prints the ratio and writes ``benchmarks/results/audit_append.json``.

    python benchmarks/audit_append.py [--seconds 2] [--rounds 3]

The two take turns; the round with the median rate of each counts, because other work on the machine moves both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from audit.client import AuditClient
from audit.event import AuditEvent
from audit.verify import verify_log

PROCESSES = 4
THREADS = 4
RESULTS = Path(__file__).parent / "results" / "audit_append.json"
EVENT = AuditEvent(
    "query:intent",
    "u-1f0c2a7e",
    project="heart-2026",
    workspace="w-82ab",
    request_id="r-0123456789abcdef",
    decision="allow",
    policies=("member-of-project", "permit-not-expired"),
    counts={"tables": 3, "columns": 17},
    data={"template_sha256": "0" * 64, "dataset": "gibleed@v1"},
)
ENTRY = json.dumps({"event": EVENT.__dict__, "pad": "x" * 120}, default=str).encode()


def audit_writer(place: Path, writer: int) -> Callable[[], object]:
    """One client; each call is one acknowledged record."""
    client = AuditClient(place / "audit.sock", f"bench-{writer}")
    return lambda: client.record(EVENT, timeout=30)


def sqlite_writer(place: Path, writer: int) -> Callable[[], object]:
    """One connection; each call is one committed row."""
    connection = sqlite3.connect(place / "audit.sqlite", timeout=60, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")

    def append() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO audit (entry) VALUES (?)", (ENTRY,))
        connection.execute("COMMIT")

    return append


def write_for(kind: str, place: Path, process: int, until: float, results: multiprocessing.Queue[list[float]]) -> None:
    """The work of one process: its threads append until the time is over; latencies in seconds go to ``results``."""
    make = {"audit": audit_writer, "sqlite": sqlite_writer}[kind]
    latencies: list[float] = []

    def work(writer: int) -> None:
        append = make(place, writer)
        own = []
        while time.time() < until:
            begun = time.perf_counter()
            append()
            own.append(time.perf_counter() - begun)
        latencies.extend(own)

    threads = [threading.Thread(target=work, args=(process * THREADS + number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(latencies)


def measure(kind: str, place: Path, seconds: float) -> dict[str, float]:
    """Run all writers; return appends per second and latencies in milliseconds."""
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[list[float]] = context.Queue()
    until = time.time() + seconds
    workers = [
        context.Process(target=write_for, args=(kind, place, number, until, results)) for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    latencies = sorted(latency for _ in workers for latency in results.get(timeout=seconds + 120))
    for worker in workers:
        worker.join()
    return {
        "appends": len(latencies),
        "per_second": round(len(latencies) / seconds, 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 2),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1000, 2),
        "max_ms": round(latencies[-1] * 1000, 2),
    }


def measure_audit(seconds: float) -> dict[str, float]:
    """Start a daemon, measure, stop it, verify that every acknowledged record is there."""
    place = Path(tempfile.mkdtemp(prefix="enb"))
    log_dir, state = place / "log", place / "state"
    places = ["--socket", str(place / "audit.sock"), "--log", str(log_dir), "--state", str(state)]
    command = [sys.executable, "-m", "audit.daemon", *places, "--origin", "bench.example.test"]
    daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        AuditClient(place / "audit.sock", "bench").record(EVENT, timeout=20)
        found = measure("audit", place, seconds)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        report = verify_log(log_dir, (state / "log.vkey").read_text())
        if not report.ok or report.size < found["appends"]:
            raise SystemExit("the log does not hold what was acknowledged")
    finally:
        daemon.kill()
        daemon.wait(10)
        shutil.rmtree(place)
    return found


def measure_sqlite(seconds: float) -> dict[str, float]:
    """The same writers on one SQLite file."""
    place = Path(tempfile.mkdtemp(prefix="enb"))
    try:
        connection = sqlite3.connect(place / "audit.sqlite")
        connection.execute("CREATE TABLE audit (id INTEGER PRIMARY KEY, entry BLOB)")
        connection.commit()
        connection.close()
        return measure("sqlite", place, seconds)
    finally:
        shutil.rmtree(place)


def median_round(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The round whose rate is the median."""
    return sorted(rounds, key=lambda found: found["per_second"])[len(rounds) // 2]


def main() -> None:
    """Measure both in turns and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    turns = [(measure_audit(given.seconds), measure_sqlite(given.seconds)) for _ in range(given.rounds)]
    audit, sqlite = (median_round(list(rounds)) for rounds in zip(*turns, strict=True))
    ratio = round(audit["per_second"] / sqlite["per_second"], 2)
    result = {
        "writers": PROCESSES * THREADS,
        "load": os.getloadavg()[0],
        "ratio": ratio,
        "audit": audit,
        "sqlite": sqlite,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**result, "rounds": turns}, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"audit log : SQLite WAL FULL = {ratio} : 1 acknowledged appends per second, {PROCESSES * THREADS} writers")


if __name__ == "__main__":
    main()

"""Acknowledged audit appends: alone against the disk's own fdatasync, and 64 writers against SQLite and pymerkle.

    python benchmarks/audit_append.py [--seconds 2] [--rounds 3]

Every append is durable before its writer's next one begins: the audit log (batches by itself), SQLite (WAL,
synchronous=FULL, one commit per append) and pymerkle's SqliteTree (as it comes). The same entry for all of them. The
contenders take turns and each counts with its median round, because other work on the machine moves all of them.

Two disks: this one, and the same one with a millisecond added to every fsync and fdatasync of every contender (by a
preloaded library), as a hospital's shared storage has it. Writes ``benchmarks/results/audit_append.json``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymerkle

from audit.client import AuditClient
from audit.event import AuditEvent
from audit.verify import verify_log

SHAPES = {"alone": (1, 1), "crowd": (8, 8)}
"""Processes, and threads in each, with a connection of its own per thread."""
CONTENDERS = ("audit", "sqlite", "pymerkle")
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
Append = Callable[[], object]
SLOW_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int slow(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    usleep(1000);
    return real(fd);
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"""


def audit_writer(place: Path, writer: str) -> Append:
    """One client; each call is one acknowledged record."""
    client = AuditClient(place / "audit.sock", f"bench-{writer}")
    return lambda: client.record(EVENT, timeout=60)


def sqlite_writer(place: Path, writer: str) -> Append:
    """One connection; each call is one committed row."""
    connection = sqlite3.connect(place / "audit.sqlite", timeout=120, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")

    def append() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO audit (entry) VALUES (?)", (ENTRY,))
        connection.execute("COMMIT")

    return append


def pymerkle_writer(place: Path, writer: str) -> Append:
    """One tree on the shared file; a writer that finds it locked for too long tries again."""
    tree = pymerkle.SqliteTree(str(place / "pymerkle.sqlite"))

    def append() -> None:
        while True:
            try:
                tree.append_entry(ENTRY)
                return
            except sqlite3.OperationalError:
                continue

    return append


WRITERS = {"audit": audit_writer, "sqlite": sqlite_writer, "pymerkle": pymerkle_writer}


def work(contender: str, place: Path, writer: str, begin: float, seconds: float, latencies: list[float]) -> None:
    """One writer: append from ``begin`` (time.time) on for so many seconds; add each append's duration."""
    append = WRITERS[contender](place, writer)
    time.sleep(max(0.0, begin - time.time()))
    own = []
    while time.time() < begin + seconds:
        begun = time.perf_counter()
        append()
        own.append(time.perf_counter() - begun)
    latencies.extend(own)


def work_in_threads(
    contender: str, place: Path, number: int, threads: int, begin: float, seconds: float, results: Any
) -> None:
    """One process with its threads."""
    latencies: list[float] = []
    names = [f"{number}-{thread}" for thread in range(threads)]
    jobs = [threading.Thread(target=work, args=(contender, place, name, begin, seconds, latencies)) for name in names]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    results.put(latencies)


def measure(contender: str, place: Path, shape: str, seconds: float) -> dict[str, float]:
    """Run all writers; appends per second, latencies in milliseconds."""
    processes, threads = SHAPES[shape]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    begin = time.time() + 0.3 + 0.05 * processes
    jobs = [(contender, place, number, threads, begin, seconds, results) for number in range(processes)]
    workers = [context.Process(target=work_in_threads, args=job) for job in jobs]
    for worker in workers:
        worker.start()
    latencies = sorted(latency for _ in workers for latency in results.get(timeout=seconds + 300))
    for worker in workers:
        worker.join()
    return {
        "appends": len(latencies),
        "per_second": round(len(latencies) / seconds, 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1000, 3),
        "max_ms": round(latencies[-1] * 1000, 1),
    }


def measure_audit(place: Path, shape: str, seconds: float) -> dict[str, float]:
    """Start a daemon, measure, stop it, verify that every acknowledged record is there."""
    log_dir, state = place / "log", place / "state"
    places = ["--socket", str(place / "audit.sock"), "--log", str(log_dir), "--state", str(state)]
    command = [sys.executable, "-m", "audit.daemon", *places, "--origin", "bench.example.test"]
    daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        AuditClient(place / "audit.sock", "bench").record(EVENT, timeout=20)
        found = measure("audit", place, shape, seconds) if shape == "crowd" else measure_alone(place, seconds)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(120)
        report = verify_log(log_dir, (state / "log.vkey").read_text())
        if not report.ok or report.size < found["appends"]:
            raise SystemExit("the log does not hold what was acknowledged")
    finally:
        daemon.kill()
        daemon.wait(10)
    return found


def measure_alone(place: Path, seconds: float) -> dict[str, float]:
    """One writer, after each of its appends one fdatasync of a file beside the log: both under the same load."""
    append = audit_writer(place, "alone")
    appends: list[float] = []
    syncs: list[float] = []
    end = time.perf_counter() + seconds
    with (place / "sync").open("ab", buffering=0) as file:
        while (begun := time.perf_counter()) < end:
            append()
            appends.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            file.write(ENTRY)
            os.fdatasync(file.fileno())
            syncs.append(time.perf_counter() - begun)
    appends.sort()
    return {
        "fdatasync_ms": round(statistics.median(syncs) * 1000, 3),
        "appends": len(appends),
        "per_second": round(len(appends) / sum(appends), 1),
        "p50_ms": round(statistics.median(appends) * 1000, 3),
        "p99_ms": round(appends[len(appends) * 99 // 100] * 1000, 3),
        "max_ms": round(appends[-1] * 1000, 1),
    }


def measure_sync(place: Path) -> float:
    """Median milliseconds of one write of an entry with its fdatasync."""
    taken = []
    with (place / "sync").open("ab", buffering=0) as file:
        for _ in range(400):
            begun = time.perf_counter()
            file.write(ENTRY)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return round(statistics.median(taken) * 1000, 3)


def one(contender: str, shape: str, seconds: float) -> dict[str, float]:
    """One turn of one contender in a folder of its own, with the disk's fdatasync measured just before."""
    place = Path(tempfile.mkdtemp(prefix="enb"))
    try:
        sync = measure_sync(place)
        if contender == "audit":
            return {"fdatasync_ms": sync, **measure_audit(place, shape, seconds)}
        if contender == "sqlite":
            with sqlite3.connect(place / "audit.sqlite") as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("CREATE TABLE audit (id INTEGER PRIMARY KEY, entry BLOB)")
        return {"fdatasync_ms": sync, **measure(contender, place, shape, seconds)}
    finally:
        shutil.rmtree(place)


def one_apart(contender: str, shape: str, seconds: float, library: Path | None) -> dict[str, float]:
    """The same in a process of its own, on the slow disk when a library is given."""
    environment = os.environ | ({} if library is None else {"LD_PRELOAD": str(library)})
    command = [sys.executable, __file__, "--one", contender, "--shape", shape, "--seconds", str(seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def median_turn(turns: list[dict[str, float]]) -> dict[str, float]:
    """The turn whose rate is the median."""
    return sorted(turns, key=lambda found: found["per_second"])[len(turns) // 2]


def compare(seconds: float, rounds: int, library: Path | None) -> dict[str, Any]:
    """All contenders in turns, alone and in a crowd; the median round of each, and the two ratios."""
    found: dict[str, Any] = {}
    for shape in SHAPES:
        turns = [{name: one_apart(name, shape, seconds, library) for name in CONTENDERS} for _ in range(rounds)]
        ordered = {
            name: sorted((turn[name] for turn in turns), key=lambda item: item["per_second"]) for name in CONTENDERS
        }
        found[shape] = {name: items[rounds // 2] for name, items in ordered.items()}
    alone, crowd = found["alone"]["audit"], found["crowd"]
    found["alone_p50_to_fdatasync"] = round(alone["p50_ms"] / alone["fdatasync_ms"], 2)
    found["crowd_to_sqlite"] = round(crowd["audit"]["per_second"] / crowd["sqlite"]["per_second"], 2)
    found["crowd_to_pymerkle"] = round(crowd["audit"]["per_second"] / crowd["pymerkle"]["per_second"], 2)
    return found


def build_slow_sync(folder: Path) -> Path:
    """Compile the library that adds a millisecond to every sync."""
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(SLOW_SYNC)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True, timeout=60)
    return library


def main() -> None:
    """Measure on both disks and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=CONTENDERS)
    parser.add_argument("--shape", choices=list(SHAPES), default="crowd")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one, given.shape, given.seconds)))
        return
    with tempfile.TemporaryDirectory(prefix="enb") as folder:
        library = build_slow_sync(Path(folder))
        result = {
            "writers": SHAPES["crowd"][0] * SHAPES["crowd"][1],
            "load_before": os.getloadavg()[0],
            "this_disk": compare(given.seconds, given.rounds, None),
            "slow_disk": compare(given.seconds, given.rounds, library),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    for disk in ("this_disk", "slow_disk"):
        at = result[disk]
        print(disk, {name: value for name, value in at.items() if name not in SHAPES})


if __name__ == "__main__":
    main()

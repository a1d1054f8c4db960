"""Verifying a whole audit log from its entry bundles: records per second, memory, and two baselines in the same run.

Writes a log of ``--entries`` records (about 500 bytes each, queries with their outcomes and heartbeats) into a
temporary folder, verifies it as an auditor does (``enclave-audit verify``) with one process and with all cores, and
removes it. Baselines: hashing the same bundles with hashlib alone, file by file in one process; pymerkle's in-memory
tree, which only appends entries it is handed (at most a million, as it keeps them all). Writes
``benchmarks/results/audit_verify.json``.

    python benchmarks/audit_verify.py [--entries 1000000] [--place DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymerkle import InmemoryTree

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.merkle import leaf_hash
from audit.note import NoteSigner
from audit.parallel import usable_processes
from audit.reader import read_raw_entries
from audit.stretch import STRETCH, subtree_hash
from audit.tiles import ENTRIES, TILE_WIDTH, TileFile, TileId, TileTree, encode_bundle

RESULTS = Path(__file__).parent / "results" / "audit_verify.json"
ORIGIN = "bench.example.test/audit"
BEAT = 500
"""Every so many records one is a heartbeat; a minute lies between two of them."""
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
PYMERKLE_MOST = 1_000_000
SAMPLE_SECONDS = 0.05


def record(index: int) -> bytes:
    """The canonical JSON of the record at ``index``."""
    at = (BEGUN + timedelta(milliseconds=120 * index)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event_id = f"{index * 0x9E3779B97F4A7C15 % 2**128:032x}"
    beat, within = divmod(index, BEAT)
    if within == BEAT - 1:
        return (
            f'{{"actor":"system:audit","at":"{at}","boot":"a0b1c2d3e4f50617","counts":{{"seconds":60}},"data":{{}},'
            f'"event_id":"{event_id}","peer":{{"pid":811,"uid":998}},"policies":[],"seq":{beat + 1},'
            '"type":"audit:heartbeat","v":1,"writer":"audit"}'
        ).encode()
    number = index - beat
    query, outcome = divmod(number, 2)
    who = f'"actor":"u-{query % 211:08x}","at":"{at}","boot":"5f0c8a7e1b2d3c4f"'
    tail = (
        f'"event_id":"{event_id}","payload":"{event_id}{event_id}","peer":{{"pid":822,"uid":999}},'
        f'"policies":["member-of-project","permit-not-expired"],"project":"heart-{query % 17}",'
        f'"request_id":"r-{query:016x}","seq":{number + 1},"subject":"gibleed@v3"'
    )
    if outcome:
        counts = f'{{"bytes":{query % 90_001},"columns":4,"duration_ms":{query % 900},"rows":{query % 4001}}}'
        middle = f'"counts":{counts},"data":{{"digest":"{event_id}{event_id}","status":"ok"}}'
        return f'{{{who},{middle},{tail},"type":"query:outcome","v":1,"writer":"gateway"}}'.encode()
    template = f"{query % 499:064x}"
    data = f'{{"purpose":"research","tables":["condition_occurrence","person"],"template_sha256":"{template}"}}'
    middle = f'"counts":{{"characters":{query % 700},"parameters":2}},"data":{data},"decision":"allow"'
    return f'{{{who},{middle},{tail},"type":"query:intent","v":1,"writer":"gateway"}}'.encode()


@dataclass(frozen=True)
class Part:
    """Bundles ``first`` to ``end`` of a log of ``size`` records to write below ``log_dir``."""

    log_dir: Path
    size: int
    first: int
    end: int


def write_part(part: Part) -> tuple[list[bytes], list[bytes], int]:
    """Write bundles and level-0 tiles; return the hashes over full bundles, the last leaf hashes, and bytes written."""
    bundles: list[bytes] = []
    hashes: list[bytes] = []
    written = 0
    for bundle in range(part.first, part.end):
        width = min(TILE_WIDTH, part.size - bundle * TILE_WIDTH)
        entries = [record(bundle * TILE_WIDTH + position) for position in range(width)]
        hashes = [leaf_hash(entry) for entry in entries]
        data = encode_bundle(entries)
        written += len(data)
        write(part.log_dir, TileFile(TileId(ENTRIES, bundle, width), data))
        write(part.log_dir, TileFile(TileId(0, bundle, width), b"".join(hashes)))
        if width == TILE_WIDTH:
            bundles.append(subtree_hash(hashes))
            hashes = []
    return bundles, hashes, written


def write(log_dir: Path, file: TileFile) -> None:
    """Write one tile or bundle."""
    path = log_dir / file.id.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.data)


def write_log(log_dir: Path, size: int) -> tuple[str, int]:
    """Write the whole log; return its verifier key and the bytes of its bundles."""
    upper, tree, written = TileTree(), TileTree(), 0
    tail: list[bytes] = []
    count = -(-size // TILE_WIDTH)
    parts = [Part(log_dir, size, first, min(first + STRETCH, count)) for first in range(0, count, STRETCH)]
    with multiprocessing.get_context("fork").Pool() as pool:
        for bundles, hashes, done in pool.imap(write_part, parts):
            written, tail = written + done, hashes
            for item in bundles:
                for file in upper.append(item):
                    write(log_dir, raised(file))
    for file in upper.partials():
        write(log_dir, raised(file))
    # the same rows, one level higher, above the leaf hashes of the unfinished bundle
    rows = [b"".join(tail), *(file.data for file in rows_of(upper))]
    tree = TileTree(rows, size)
    signer = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    (log_dir / "checkpoint").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, size, tree.root()), signer))
    return str(signer.verifier), written


def raised(file: TileFile) -> TileFile:
    """A tile of the tree over bundles as a tile of the log."""
    return TileFile(TileId(file.id.level + 1, file.id.index, file.id.width), file.data)


def rows_of(upper: TileTree) -> list[TileFile]:
    """The unfinished tile of each level, empty ones too."""
    partials = {file.id.level: file for file in upper.partials()}
    return [partials.get(level, TileFile(TileId(level, 0, 1), b"")) for level in range(max(partials, default=-1) + 1)]


def tree_rss(pid: int) -> int:
    """Resident bytes of a process and all below it, shared pages counted once per process."""
    total, waiting = 0, [pid]
    while waiting:
        process = waiting.pop()
        try:
            status = Path(f"/proc/{process}/statm").read_text().split()
            children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        except (OSError, ValueError):
            continue
        total += int(status[1]) * os.sysconf("SC_PAGE_SIZE")
        waiting += map(int, children)
    return total


def cpu_seconds() -> float:
    """Processor time of all processes that were started and have ended: says more than seconds on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def verify(log_dir: Path, vkey: str, processes: int) -> dict[str, Any]:
    """Run the auditor's command; return seconds, records per second and the peak of its processes' memory."""
    command = [sys.executable, "-m", "audit.cli", "verify", str(log_dir), "--key", vkey, "--json"]
    begun, used = time.perf_counter(), cpu_seconds()
    with subprocess.Popen([*command, "--processes", str(processes)], stdout=subprocess.PIPE) as running:
        peak = 0

        def sample() -> None:
            nonlocal peak
            while running.poll() is None:
                peak = max(peak, tree_rss(running.pid))
                time.sleep(SAMPLE_SECONDS)

        watcher = threading.Thread(target=sample)
        watcher.start()
        answer = json.loads(running.communicate(timeout=1800)[0])
        seconds = time.perf_counter() - begun
        watcher.join()
    if not answer["ok"]:
        raise SystemExit(f"the log that was written does not verify: {answer}")
    return {
        "processes": processes,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds() - used, 2),
        "records_per_second": round(answer["size"] / seconds),
        "peak_rss_mb": round(peak / 1e6, 1),
        "root": answer["root"],
    }


def hash_files(log_dir: Path) -> float:
    """Seconds to read every bundle and hash it with hashlib, nothing else."""
    begun = time.perf_counter()
    for path in sorted((log_dir / "tile" / "entries").rglob("*")):
        if path.is_file():
            hashlib.sha256(path.read_bytes()).digest()
    return time.perf_counter() - begun


def pymerkle_rate(log_dir: Path, size: int) -> tuple[float, str]:
    """Entries per second appended to pymerkle's in-memory tree, and its root over them."""
    entries = list(read_raw_entries(log_dir, 0, min(size, PYMERKLE_MOST)))
    tree = InmemoryTree(algorithm="sha256")
    begun = time.perf_counter()
    for entry in entries:
        tree.append_entry(entry)
    return len(entries) / (time.perf_counter() - begun), tree.get_root().hex()


def measure(place: Path, entries: int) -> dict[str, Any]:
    """Everything, over one log."""
    log_dir = place / "log"
    log_dir.mkdir()
    begun = time.perf_counter()
    vkey, written = write_log(log_dir, entries)
    load = os.getloadavg()[0]
    writing = time.perf_counter() - begun
    hashing = hash_files(log_dir)
    runs = [verify(log_dir, vkey, processes) for processes in sorted({1, usable_processes(None)})]
    rate, root = pymerkle_rate(log_dir, entries)
    if entries <= PYMERKLE_MOST and root != runs[0]["root"]:
        raise SystemExit("pymerkle computes another root")
    best = runs[-1]
    return {
        "entries": entries,
        "bundle_megabytes": round(written / 1e6),
        "cores": usable_processes(None),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
        "writing_seconds": round(writing, 1),
        "verify": runs,
        "hashlib_alone_seconds": round(hashing, 2),
        "ratio_to_hashlib_alone": round(best["seconds"] / hashing, 2),
        "pymerkle_appends_per_second": round(rate),
        "ratio_to_pymerkle_appends": round(best["records_per_second"] / rate, 2),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--place", type=Path, default=None, help="a folder on disk with room for 600 bytes per entry")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="enb", dir=given.place))
    try:
        result = measure(place, given.entries)
    finally:
        shutil.rmtree(place)
    RESULTS.parent.mkdir(exist_ok=True)
    name = RESULTS if given.entries < 10_000_000 else RESULTS.with_stem(f"audit_verify_{given.entries // 1_000_000}m")
    name.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    best = result["verify"][-1]
    print(
        f"{result['entries']} records verified in {best['seconds']} s by {best['processes']} processes with"
        f" {best['peak_rss_mb']} MB; hashlib alone over the same bytes: {result['hashlib_alone_seconds']} s"
    )


if __name__ == "__main__":
    main()

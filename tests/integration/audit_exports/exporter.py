"""The exporter as a process of its own, and logs made file by file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.merkle import leaf_hash
from audit.note import NoteSigner
from audit.reader import read_checkpoint, read_entries
from audit.tiles import ENTRIES, TILE_WIDTH, TileId, TileTree, encode_bundle

DEADLINE_SECONDS = 60
ORIGIN = "log.example.test/made"


def wait_until(condition: Callable[[], Any], what: str = "condition") -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.02)


class RunningExporter:
    """Start, kill and start again the same exporter."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "exports"
        self.errors = home / "exporter.err"
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, log_dir: Path, *targets: dict[str, Any], **top: Any) -> RunningExporter:
        top = {"log": str(log_dir), "state": str(self.state), "poll_seconds": 0.05, "status_seconds": 0.1, **top}
        lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
        for target in targets:
            target = {"timeout_seconds": 5, "retry_seconds_max": 0.3, **target}
            lines += ["[[target]]", *(f"{name} = {json.dumps(value)}" for name, value in target.items())]
        self.config.write_text("\n".join(lines))
        return self

    @property
    def config(self) -> Path:
        return self.home / "exports.toml"

    def start(self) -> RunningExporter:
        with self.errors.open("ab") as errors:
            command = [sys.executable, "-m", "audit.exports", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stderr=errors, stdin=subprocess.DEVNULL)
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def status(self, name: str) -> dict[str, Any]:
        """The target's part of the status file; empty before there is one."""
        try:
            found = json.loads((self.state / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return next(target for target in found["targets"] if target["name"] == name)

    def cursor(self, name: str) -> int:
        try:
            return int(json.loads((self.state / f"{name}.cursor.json").read_text())["next"])
        except FileNotFoundError:
            return 0

    def dead(self, name: str) -> list[dict[str, Any]]:
        path = self.state / f"{name}.dead.ndjson"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def said(self) -> list[dict[str, Any]]:
        """The operator log."""
        return [json.loads(line) for line in self.errors.read_text().splitlines()]

    def wait_exported(self, name: str, log_dir: Path) -> None:
        wait_until(lambda: self.cursor(name) >= read_checkpoint(log_dir)[1].size, f"{name} exported")


def hashes(log_dir: Path) -> dict[int, str]:
    """Index → leaf hash of everything published."""
    return {entry.index: entry.leaf_hash for entry in read_entries(log_dir)}


def record_events(client: Any, log_dir: Path, count: int, **fields: Any) -> None:
    """Append ``count`` records and wait until they are published."""
    from running_log import event

    last = 0
    for number in range(count):
        last = client.record(event(number, **fields)).index
    client.wait_published(last, log_dir)


def made_log(log_dir: Path, leaves: list[dict[str, Any]], private: Ed25519PrivateKey | None = None) -> NoteSigner:
    """Write a whole log of these leaves without a daemon; return its signer."""
    signer = NoteSigner(ORIGIN, private or Ed25519PrivateKey.generate())
    entries = [json.dumps(leaf, sort_keys=True, separators=(",", ":")).encode() for leaf in leaves]
    tree = TileTree()
    files = [tile for entry in entries for tile in tree.append(leaf_hash(entry))] + tree.partials()
    for tile in files:
        write(log_dir / tile.id.path, tile.data)
    for start in range(0, len(entries), TILE_WIDTH):
        part = entries[start : start + TILE_WIDTH]
        write(log_dir / TileId(ENTRIES, start // TILE_WIDTH, len(part)).path, encode_bundle(part))
    write(log_dir / "checkpoint", sign_checkpoint(Checkpoint(ORIGIN, len(entries), tree.root()), signer))
    return signer


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def leaf(number: int, **fields: Any) -> dict[str, Any]:
    head = {"v": 1, "at": "2026-11-22T02:03:04.567Z", "event_id": f"e-{number}", "writer": "portal", "boot": "b"}
    body = {"type": "query:intent", "actor": "u-1", "project": "p-1", "policies": [], "data": {}}
    return {**head, "seq": number + 1, "peer": {"uid": 1, "pid": 1}, **body, "counts": {"n": number}, **fields}

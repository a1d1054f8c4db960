"""A log written by the real publisher without a daemon, for tests that need to cut, rewrite or prune it."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audit.canonical import canonical_json
from audit.checkpoint import Checkpoint
from audit.merkle import leaf_hash
from audit.publisher import Publisher
from audit.tiles import ENTRIES, TILE_WIDTH, TileId, TileTree

ORIGIN = "log.example.test/enclave"
START = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = ("p-ana", "p-bo", "p-Çelik")
PROJECTS = ("heart", "lung")
TABLES = ("person", "visit", "note,1")
DATASETS = ("icu@v1", "icu@v2", "onco@v1")


class PublishedLog:
    """Publish entries, some at a time."""

    def __init__(self, home: Path, origin: str = ORIGIN) -> None:
        self.log_dir = home / "log"
        self.index_dir = home / "index"
        staging = home / "staging"
        for directory in (self.log_dir, staging):
            directory.mkdir(parents=True)
        self._origin = origin
        self._tree = TileTree()
        self._publisher = Publisher(self.log_dir, staging, TileTree(), [])

    @property
    def size(self) -> int:
        return self._tree.size

    def publish(self, entries: list[bytes]) -> None:
        hashes = [leaf_hash(entry) for entry in entries]
        for hashed in hashes:
            self._tree.append(hashed)
        text = Checkpoint(self._origin, self._tree.size, self._tree.root()).text()
        self._publisher.publish(entries, hashes, f"{text}\n— {self._origin} AAAAAAAA\n".encode())

    def prune(self, minimum_index: int) -> None:
        """Do what the daemon does: record, publish, then remove the bundles that lie below."""
        self.publish([pruned(self.size, minimum_index)])
        for bundle in range(minimum_index // TILE_WIDTH):
            (self.log_dir / TileId(ENTRIES, bundle).path).unlink()

    def remove(self) -> None:
        shutil.rmtree(self.log_dir.parent)


def pruned(number: int, minimum_index: int) -> bytes:
    counts = {"minimum_index": minimum_index}
    return canonical_json({**sending(number), "writer": "audit", "type": "audit:pruned", "counts": counts, "data": {}})


def sending(number: int) -> dict[str, object]:
    at = (START + timedelta(minutes=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"v": 1, "at": at, "event_id": f"{number:032x}", "boot": "b-1", "seq": number + 1, "actor": "system:audit"}


def random_entries(count: int, start: int = 0, seed: int = 1) -> list[bytes]:
    """Statements, their outcomes (some late, some never), refusals, and now and then an entry that is odd."""
    pick = random.Random(f"{seed}/{start}")
    waiting: list[str] = []
    entries: list[bytes] = []
    for number in range(start, start + count):
        who = {"writer": "gateway", "actor": pick.choice(PEOPLE), "project": pick.choice(PROJECTS), "counts": {}}
        leaf = {**sending(number), **who, "subject": f"x-{pick.choice(DATASETS)}", "policies": ["member"]}
        kind = pick.random()
        if kind < 0.02:
            entries.append(
                pick.choice([b"\xff\x00 no json", b"[1,2]", b'{"at":5,"type":[],"data":{"tables":"person"}}'])
            )
        elif kind < 0.5:
            waiting.append(f"r-{number:08x}")
            tables, dataset = pick.sample(TABLES, pick.randrange(3)), pick.choice(DATASETS)
            data = {"template_sha256": f"{pick.randrange(5):064x}", "tables": tables, "dataset": dataset}
            data["verb"] = pick.choice(["select", "describe"])
            intent = {**leaf, "type": "query:intent", "request_id": waiting[-1], "decision": "allow", "data": data}
            entries.append(canonical_json(intent))
        elif kind < 0.9 and waiting:
            request = waiting.pop(pick.randrange(len(waiting)))
            counts = {"rows": pick.randrange(50), "bytes": pick.randrange(5000), "duration_ms": 3}
            outcome = {"type": "query:outcome", "request_id": request, "counts": counts, "data": {"status": "ok"}}
            entries.append(canonical_json({**leaf, **outcome}))
        else:
            refusal = {"type": "query:refused", "decision": "deny", "data": {"rule": 'no "such" table'}}
            entries.append(canonical_json({**leaf, **refusal}))
    return entries

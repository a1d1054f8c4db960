"""A log of generated records, for benchmarks that read logs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from audit.canonical import canonical_json
from audit.checkpoint import Checkpoint
from audit.merkle import leaf_hash
from audit.publisher import Publisher
from audit.tiles import TileTree

ORIGIN = "bench.example.test/log"
SIGNATURE = "\n— bench.example.test AAAAAAAA\n"
START = datetime(2026, 1, 1, tzinfo=UTC)
TABLES = ("person", "visit_occurrence", "condition_occurrence", "drug_exposure", "measurement", "death", "note")
DATASETS = tuple(f"{name}@v{version}" for name in ("gibleed", "heart", "oncology", "icu") for version in (1, 2, 3))
PUBLISHED_AT_ONCE = 65_536


class Records:
    """Generated leaves: 200 people in 40 projects, 5,000 statement templates, intents each with their outcome."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self.people = [f"p-{self.hex(8)}" for _ in range(200)]
        self.projects = {person: f"project-{number % 40:03}" for number, person in enumerate(self.people)}
        self.workspaces = {person: f"w-{self.hex(8)}" for person in self.people}
        self._templates = [self.hex(64) for _ in range(5000)]

    def hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"

    def leaves(self) -> Iterator[dict[str, Any]]:
        """Leaves without end, half a minute apart at most."""
        at, number = START, 0
        while True:
            for leaf in self._statement() if self._random.random() < 0.9 else self._refusal():
                number += 1
                at += timedelta(milliseconds=self._random.randrange(30_000))
                stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                sending = {"v": 1, "at": stamp, "event_id": self.hex(32), "boot": "5d0f0f2b90aa4a5c", "seq": number}
                yield {**sending, "peer": {"uid": 990, "pid": 4711}, "payload": self.hex(64), **leaf}

    def _who(self, writer: str) -> dict[str, Any]:
        person = self._random.choice(self.people)
        place = {"project": self.projects[person], "workspace": self.workspaces[person]}
        return {"writer": writer, "actor": person, **place}

    def _statement(self) -> Iterator[dict[str, Any]]:
        pick = self._random
        who, dataset = self._who("gateway"), pick.choice(DATASETS)
        request = {**who, "subject": f"extract-{dataset}", "request_id": self.hex(32)}
        yield {
            **request,
            "type": "query:intent",
            "decision": "allow",
            "policies": ["member-of-project", "permit-not-expired"],
            "counts": {"characters": pick.randrange(40, 900), "parameters": 0},
            "data": {
                "template_sha256": pick.choice(self._templates),
                "tables": pick.sample(TABLES, pick.randrange(1, 4)),
                "purpose": "scientific-research",
                "token": self.hex(16),
                "verb": "select" if pick.random() < 0.9 else "describe",
                "dataset": dataset,
            },
        }
        counts = {"rows": pick.randrange(1000), "bytes": pick.randrange(10**6), "duration_ms": pick.randrange(3000)}
        yield {
            **request,
            "type": "query:outcome",
            "policies": [],
            "counts": {**counts, "columns": pick.randrange(1, 20)},
            "data": {"status": "ok", "digest": self.hex(64)},
        }

    def _refusal(self) -> Iterator[dict[str, Any]]:
        kind = self._random.choice(("query:refused", "token:refused", "action:refused"))
        rule = self._random.choice(("unknown-table", "expired", "not-a-member"))
        yield {**self._who("portal"), "type": kind, "decision": "deny", "counts": {}, "data": {"rule": rule}}


def write_log(home: Path, count: int) -> None:
    """Publish ``count`` generated records as a log (its signature is not a real one: nothing here verifies)."""
    log_dir, staging = home / "log", home / "staging"
    log_dir.mkdir()
    staging.mkdir()
    tree = TileTree()
    publisher = Publisher(log_dir, staging, TileTree(), [])
    leaves = Records().leaves()
    while publisher.size < count:
        entries = [canonical_json(leaf) for leaf in islice(leaves, min(PUBLISHED_AT_ONCE, count - publisher.size))]
        hashes = [leaf_hash(entry) for entry in entries]
        for hashed in hashes:
            tree.append(hashed)
        text = Checkpoint(ORIGIN, tree.size, tree.root()).text()
        publisher.publish(entries, hashes, (text + SIGNATURE).encode())

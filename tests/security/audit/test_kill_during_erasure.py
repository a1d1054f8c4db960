"""kill -9 while payloads are erased and old records pruned: afterwards it has happened or it has not, never half."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from killable_log import KillableLog, Load, Promise, check_nothing_doubled, check_promises
from published import published_entries

from audit.client import AuditClient, AuditRefused, AuditUnavailable
from audit.daemon.pruning import own_leaves
from audit.own_events import OwnEvent
from audit.verify import verify_log

ROUNDS = 36
PRUNE_EVERY = 3
LONGEST_SECONDS = (0.01, 0.05, 0.6)
READ = 6
SEED = 20261122


@pytest.fixture
def killable_log() -> Iterator[KillableLog]:
    """Segments of a few dozen records."""
    log = KillableLog("--segment-bytes", "20000")
    yield log
    log.remove()


def order(log: KillableLog, doing: Callable[[AuditClient], object]) -> threading.Thread:
    """Ask for an erasure in the background; whether an answer comes before the kill is left to chance."""

    def ask() -> None:
        client = log.client("dpo")
        with contextlib.suppress(AuditUnavailable):
            doing(client)
        client.close()

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def prune(client: AuditClient) -> None:
    client.prune(datetime.now(UTC).isoformat(), by="dpo", timeout=0.4)


def redact(project: str) -> Callable[[AuditClient], object]:
    month = f"{datetime.now(UTC):%Y-%m}"
    return lambda client: client.redact(month, project, by="dpo", legal_basis="gdpr-art-17", timeout=0.4)


def project_of(said: Promise) -> str | None:
    """The project under which a record of ``kill_load`` has a payload, None when it has none."""
    count = int(said.name.rpartition("-")[2])
    return f"p-{count % 3}" if count % 7 == 0 else None


def is_readable(client: AuditClient, said: Promise) -> bool:
    try:
        return client.payload(said.index, "auditor", timeout=20) == {"name": said.name}
    except AuditRefused:
        return False


def check_erasures(log: KillableLog, promises: list[Promise], chance: random.Random) -> tuple[int, int]:
    """Payloads and bundles are gone exactly where a durable record says so; how many records of each kind there are."""
    entries = published_entries(log.log_dir)
    pruned = [leaf["counts"]["minimum_index"] for leaf in own_leaves(entries.values(), OwnEvent.PRUNED)]
    minimum = max(pruned, default=0)
    assert entries.keys() == set(range(minimum, max(entries) + 1))
    redacted = [
        (orjson.loads(entry)["subject"], index)
        for index, entry in entries.items()
        if list(own_leaves([entry], OwnEvent.REDACTED))
    ]
    client = log.client("auditor")
    sealed = [said for said in promises if project_of(said)]
    for said in [*sealed[-READ:], *chance.sample(sealed, min(READ, len(sealed)))]:
        erased = any(subject.endswith(f"/p-{project_of(said)}") and said.index < at for subject, at in redacted)
        assert is_readable(client, said) == (said.index >= minimum and not erased), said
    client.close()
    return len(redacted), len(pruned)


@pytest.mark.timeout(180)
def test_kill_nine_during_redaction_and_pruning(killable_log):
    log, chance, done = killable_log, random.Random(SEED), (0, 0)
    log.spawn()
    log.wait_ready()
    load = Load(log, processes=1, threads=4)
    try:
        for number in range(ROUNDS):
            load.wait_more(30)
            thread = order(log, prune if number % PRUNE_EVERY == 0 else redact(f"p-{chance.randrange(3)}"))
            time.sleep(chance.random() * chance.choice(LONGEST_SECONDS))
            log.end(signal.SIGKILL)
            thread.join(60)
            said = load.promises[: load.refresh()]
            log.spawn()
            log.wait_ready()
            check_promises(log, said)
            done = tuple(map(sum, zip(done, check_erasures(log, said, chance), strict=True)))
        load.stop()
    finally:
        load.kill()
    log.end(signal.SIGTERM)
    check_promises(log, load.promises)
    check_nothing_doubled(log)
    report = verify_log(log.log_dir, log.vkey, since=load.promises[0].checkpoint)
    assert report.ok, report.lines()
    assert min(done) > 0, "no erasure came through before a kill; the delays are too short"

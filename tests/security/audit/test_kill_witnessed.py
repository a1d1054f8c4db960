"""kill -9 of a log with a witness and heartbeats: whatever happens, the witness never sees a second history."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from killable_log import KillableLog, Load, check_nothing_doubled, check_promises
from running_log import wait_until
from running_witness import RunningWitness

from audit.policy import parse_policy
from audit.verify import verify_log

ROUNDS = 25
SEED = 20261122


@pytest.fixture
def witness() -> Iterator[RunningWitness]:
    """A real witness, not started."""
    made = RunningWitness()
    yield made
    made.remove()


@pytest.fixture
def killable_log() -> Iterator[KillableLog]:
    log = KillableLog("--segment-bytes", "20000")
    yield log
    log.remove()


def use_witness(log: KillableLog, witness: RunningWitness) -> Path:
    """Make the log's key, let the witness know it; return the policy that asks for the witness."""
    log.spawn()
    log.wait_ready()
    log.end(signal.SIGTERM)
    witness.start(log.vkey)
    keys = [f"witness w{place} {vkey} {witness.url}\n" for place, vkey in enumerate(witness.vkeys)]
    names = " ".join(f"w{place}" for place in range(len(keys)))
    policy = log.home / "policy"
    policy.write_text(f"log {log.vkey}\n{''.join(keys)}group all all {names}\nquorum all\n")
    log.options += ("--heartbeat-seconds", "1", "--policy", str(policy), "--witness-seconds", "0.1")
    return policy


@pytest.mark.timeout(180)
def test_kill_nine_with_a_witness_and_heartbeats(killable_log, witness):
    log, chance = killable_log, random.Random(SEED)
    policy = parse_policy(use_witness(log, witness).read_bytes())
    log.spawn()
    log.wait_ready()
    load = Load(log, processes=1, threads=4)
    try:
        for _ in range(ROUNDS):
            load.wait_more(chance.randint(5, 40))
            time.sleep(chance.random() * 0.3)
            log.end(signal.SIGKILL)
            said = load.promises[: load.refresh()]
            log.spawn()
            log.wait_ready()
            check_promises(log, said)
        load.stop()
        wait_until(lambda: verify_log(log.log_dir, None, policy=policy).ok)
    finally:
        load.kill()
    log.end(signal.SIGTERM)
    check_promises(log, load.promises)
    check_nothing_doubled(log)
    report = verify_log(log.log_dir, None, since=load.promises[0].checkpoint, policy=policy)
    assert report.ok, report.lines()
    assert witness.evidence == []

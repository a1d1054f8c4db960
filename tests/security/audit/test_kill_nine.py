"""Two hundred rounds of kill -9 under load: nothing acknowledged is lost or doubled, every checkpoint stays true."""

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

from audit.verify import verify_log
from audit.wal import WalRecord

ROUNDS = 200
CHECK_EVERY = 50
FRESH_EVERY = 20
SEED = 20261122


@pytest.fixture
def killable_log() -> Iterator[KillableLog]:
    """Segments of a few dozen records."""
    log = KillableLog("--segment-bytes", "20000")
    yield log
    log.remove()


def wait_for_the_moment(log: KillableLog, load: Load, chance: random.Random, start_up: float) -> None:
    """Under load, in the middle of rotation and publishing, or already during start-up (of so many seconds)."""
    moment = chance.choice(("start-up", "load", "rotation"))
    if moment == "start-up":
        time.sleep(chance.random() * start_up)
        return
    log.wait_ready()
    if moment == "load":
        load.wait_more(chance.randint(1, 30))
        time.sleep(chance.random() * 0.01)
        return
    before = newest_segment(log)
    deadline = time.monotonic() + 1
    while newest_segment(log) == before and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(chance.random() * 0.004)


def newest_segment(log: KillableLog) -> str:
    return max((path.name for path in (log.state_dir / "wal").iterdir()), default="")


def tear(log: KillableLog, chance: random.Random) -> bool:
    """Leave behind what a power cut may leave of an unsynced batch; False when there is no log yet."""
    if not (log.state_dir / "wal").is_dir() or not newest_segment(log):
        return False
    segment = log.state_dir / "wal" / newest_segment(log)
    batch = segment.stat().st_size
    frames = [WalRecord(b"a record that was never acknowledged", bytes(600)).frame(batch) for _ in range(3)]
    whole = b"".join(frames)
    tail = chance.choice(
        (
            frames[0][: chance.randint(1, len(frames[0]) - 1)],
            bytes(chance.randint(1, 5000)),
            chance.randbytes(chance.randint(1, 700)),
            bytes(512) + whole[512:],
        )
    )
    with segment.open("ab") as file:
        file.write(tail)
    return True


@pytest.mark.timeout(300)
def test_two_hundred_rounds_of_kill_nine_lose_and_double_nothing(killable_log):
    log, chance, torn, early = killable_log, random.Random(SEED), 0, 0
    log.spawn()
    begun = time.monotonic()
    log.wait_ready()
    start_up = time.monotonic() - begun
    load = Load(log, processes=2, threads=3)
    try:
        load.wait_more(10)
        for number in range(ROUNDS):
            early += not log.socket.exists()
            log.end(signal.SIGKILL)
            if number % 4 == 0:
                torn += tear(log, chance)
            said = load.promises[: load.refresh()]
            log.spawn_fresh() if number % FRESH_EVERY == 0 else log.spawn()
            if number % CHECK_EVERY == 0:
                log.wait_ready()
                check_promises(log, said)
            else:
                wait_for_the_moment(log, load, chance, start_up)
        log.wait_ready()
        load.wait_more(10)
        load.stop()
    finally:
        load.kill()
    log.end(signal.SIGTERM)
    check_promises(log, load.promises)
    check_nothing_doubled(log)
    report = verify_log(log.log_dir, log.vkey, since=load.promises[0].checkpoint)
    assert report.ok, report.lines()
    assert len(load.promises) > 5 * ROUNDS
    assert torn >= ROUNDS // 5
    assert early >= ROUNDS // 10, "too few kills came before the daemon listened"

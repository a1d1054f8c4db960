"""Power cuts: whatever unsynced writes are lost, no acknowledged record is, and the log starts again by itself.

What the states are is said in ``lossy_disk`` and ``power_cuts``; what must hold in each, in ``wreckage``.
"""

from __future__ import annotations

import os
import random
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).parent))
from lives import Life, Promises, scratch
from lossy_disk import Disk, Synced, replayed
from recorded_calls import recorded
from recorded_disk import RecordedDisk
from running_log import wait_until
from wreckage import Wreck, faults, wrecks

from audit.cosignature import Cosigner
from audit.daemon.cosigned import CosignedNotes
from audit.note import parse_note
from audit.own_events import OwnEvent, own_event
from audit.reader import read_checkpoint
from audit.wal import WalFull

SEED = 20261122

Lived = tuple[RecordedDisk, Promises]
Forgetting = Callable[[], AbstractContextManager[object]]


def without_nothing() -> AbstractContextManager[None]:
    """All syncs are done."""
    return nullcontext()


def without_wal_sync() -> AbstractContextManager[object]:
    """The write-ahead log's records are not synced."""
    return mock.patch.object(os, "fdatasync", lambda _: None)


def without_directory_sync() -> AbstractContextManager[object]:
    """Names are not synced."""
    real = os.fsync
    return mock.patch.object(os, "fsync", lambda fd: None if stat.S_ISDIR(os.fstat(fd).st_mode) else real(fd))


def without_file_sync() -> AbstractContextManager[object]:
    """Files are not synced before they are renamed."""
    real = os.fsync
    return mock.patch.object(os, "fsync", lambda fd: real(fd) if stat.S_ISDIR(os.fstat(fd).st_mode) else None)


def lived(
    recording: RecordedDisk,
    before: Promises,
    doings: Callable[[Life], object],
    forgetting: Forgetting = without_nothing,
) -> Lived:
    """One life on a disk, from its start to its stop; its start forgets some syncs."""
    with recorded(recording):
        with forgetting():
            life = Life(recording, before)
        doings(life)
        return recording, life.end()


def busy(life: Life, batches: int) -> None:
    """Batches of many sizes, publishing beside the commits."""
    chance = random.Random(SEED)
    for _ in range(batches):
        life.commit(chance.choice((1, 1, 2, 5, 12)))
        time.sleep(chance.choice((0, 0.003)))


@pytest.fixture(scope="module")
def long_life() -> Iterator[Lived]:
    """A log from its first moment to a clean stop: segments come and go, a tile gets full."""
    with scratch() as root:
        yield lived(RecordedDisk(root), Promises(), lambda life: busy(life, 65))


@pytest.fixture(scope="module")
def short_life() -> Iterator[Lived]:
    """The same with about a hundred records."""
    with scratch() as root:
        yield lived(RecordedDisk(root), Promises(), lambda life: busy(life, 24))


def all_faults(found: Iterable[Wreck]) -> tuple[int, list[str]]:
    """How many states were tried, and what broke in which."""
    count = 0
    broken: list[str] = []
    for wreck in found:
        count += 1
        broken += [f"before operation {wreck.count}, {wreck.loss}: {fault}" for fault in faults(wreck)]
    return count, broken


def test_a_power_cut_in_the_first_life(long_life):
    recording, promises = long_life
    count, broken = all_faults(wrecks(recording, promises, random.Random(SEED), 0.04))
    assert not broken, "\n".join(broken[:20])
    assert count > 300


def kinds(disk: Disk) -> dict[int, str]:
    """What each node is, by its path without numbers."""
    found = {}

    def walk(directory: int, prefix: str) -> None:
        for name, node in disk.directories[directory].names.items():
            found[node] = prefix + re.sub(r"[0-9a-f]{2,}|[0-9]", "#", name)
            if node in disk.directories:
                walk(node, found[node] + "/")

    walk(0, "")
    return found


def kills(recording: RecordedDisk) -> Iterator[int]:
    """Before each kind of sync, the first and the second time: that is when most is unsynced."""
    disk = replayed(recording.first, [])
    seen: dict[str, int] = {}
    for count, operation in enumerate(recording.operations):
        if isinstance(operation, Synced):
            kind = kinds(disk).get(operation.node, "root")
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] <= 2:
                yield count
        disk.apply(operation)


def next_life(life: Life) -> None:
    """Clients send again what they had no answer for, then go on."""
    life.send_again(10)
    life.commit(2)


def after_kill(
    first: Lived, kill: int, share: float, forgetting: Forgetting = without_nothing
) -> tuple[int, list[str]]:
    """Kill a life before an operation, let the next one go on from what the kernel has cached, cut its power."""
    recording, promises = first
    with scratch() as root:
        again = RecordedDisk(root, inherited=replayed(recording.first, recording.operations[:kill]))
        second = lived(again, promises.up_to(kill), next_life, forgetting)
    count, broken = all_faults(wrecks(*second, random.Random(SEED), share))
    return count, [f"killed before operation {kill}; {fault}" for fault in broken]


def test_kill_then_start_then_power_cut(short_life):
    """After kill -9 the next process finds bytes that are not on the disk; it may not promise more because of them."""
    tried = [after_kill(short_life, kill, 0.02) for kill in kills(short_life[0])]
    broken = [fault for _, found in tried for fault in found]
    assert not broken, "\n".join(broken[:20])
    assert sum(count for count, _ in tried) > 300


def test_power_cut_then_start_then_power_cut(short_life):
    """Recovery itself is interrupted: cutting torn tails, publishing what was not."""
    recording, promises = short_life
    chance = random.Random(SEED)
    total = 0
    for wreck in chance.sample(list(wrecks(recording, promises, chance, 0.02)), 12):
        with scratch() as root:
            second = lived(RecordedDisk(root, wreck.tree), wreck.promises.up_to(0), next_life)
        count, broken = all_faults(wrecks(*second, chance, 0.02))
        assert not broken, f"first {wreck.count}, {wreck.loss}; " + "\n".join(broken[:20])
        total += count
    assert total > 100


def test_a_power_cut_during_redaction_and_pruning(long_life):
    """Either the record and what it says are there, or neither; what was answered has happened."""

    def doings(life: Life) -> None:
        life.redact("p-0")
        life.commit(6)
        life.redact("p-0")
        life.prune()
        life.commit(3)
        life.redact("p-1")

    recording, promises = long_life
    with scratch() as root:
        said = promises.up_to(len(recording.operations))
        second = lived(RecordedDisk(root, recording.disk.cached()), said, doings)
    count, broken = all_faults(wrecks(*second, random.Random(SEED), 0.3))
    assert not broken, "\n".join(broken[:20])
    assert count > 80


def goes_on(life: Life) -> bool:
    """Clients send again; True once the log takes it."""
    try:
        life.send_again(8)
    except WalFull:
        return False
    return True


def test_a_power_cut_on_a_full_disk(short_life):
    """What a full disk left half-written goes; records before it, the one that says so and later ones stay."""

    def doings(life: Life) -> None:
        life.recording.full_beside = life.recording.root / "state" / "reserve"
        for _ in range(2):
            with pytest.raises(WalFull):
                life.commit(4)
        life.recording.full_beside = None
        wait_until(lambda: goes_on(life))
        life.commit(4)

    recording, promises = short_life
    with scratch() as root:
        said = promises.up_to(len(recording.operations))
        second = lived(RecordedDisk(root, recording.disk.cached()), said, doings)
    count, broken = all_faults(wrecks(*second, random.Random(SEED), 0.3))
    assert not broken, "\n".join(broken[:20])
    assert count > 50


def test_a_power_cut_with_cosigned_checkpoints(short_life):
    """What witnesses cosigned is kept beside the log; the start compares with it, and never takes a cut for a fork."""
    cosigner = Cosigner("witness.example.test/w1", Ed25519PrivateKey.generate())

    def doings(life: Life) -> None:
        places = life.recording.root / "log", life.recording.root / "state"
        notes = CosignedNotes(*places, places[1] / "staging")
        life.log.record_own(own_event(OwnEvent.WITNESS_CONFIGURED, data={"name": "w1", "vkey": str(cosigner.key)}))
        for _ in range(6):
            life.commit(3)
            life.log.publishing.flush()
            raw, head = read_checkpoint(places[0])
            notes.add(parse_note(raw), [cosigner.cosign(head, datetime.now(UTC))])

    recording, promises = short_life
    with scratch() as root:
        said = promises.up_to(len(recording.operations))
        second = lived(RecordedDisk(root, recording.disk.cached()), said, doings)
    count, broken = all_faults(wrecks(*second, random.Random(SEED), 0.1))
    assert not broken, "\n".join(broken[:20])
    assert count > 50


@pytest.mark.parametrize("forgetting", [without_wal_sync, without_directory_sync, without_file_sync])
def test_a_forgotten_sync_is_noticed(forgetting):
    """The checks above can fail: without each kind of sync they do."""

    def doings(life: Life) -> None:
        with forgetting():
            for _ in range(15):
                life.commit(5)

    with scratch() as root:
        recording, promises = lived(RecordedDisk(root), Promises(), doings)
    assert any(faults(wreck) for wreck in wrecks(recording, promises, random.Random(SEED), 0.02))


@pytest.mark.parametrize("forgetting", [without_wal_sync, without_directory_sync])
def test_a_start_that_trusts_the_cache_is_noticed(short_life, forgetting):
    """Syncing what a killed process left unsynced is part of the start; without that, promises are broken."""
    assert any(after_kill(short_life, kill, 0.02, forgetting)[1] for kill in kills(short_life[0]))

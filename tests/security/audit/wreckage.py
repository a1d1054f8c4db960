"""States that a power cut may leave of a recorded life, and the check that the log keeps its promises in each."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from lives import Acknowledged, Life, Promises, scratch
from lossy_disk import Tree
from power_cuts import losses
from published import published_entries, published_hashes, roots_of
from recorded_calls import recorded
from recorded_disk import RecordedDisk

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.daemon.pruning import own_leaves
from audit.merkle import leaf_hash
from audit.note import VerifierKey
from audit.own_events import OwnEvent
from audit.payloads import PayloadError
from audit.verify import verify_log

PAYLOADS_READ = 4
"""Payloads looked at in each wreck: the last acknowledged ones and some by chance."""


@dataclass(frozen=True)
class Wreck:
    """The power went before operation ``count`` (from 0); ``loss`` says in words what it took."""

    count: int
    loss: str
    tree: Tree
    promises: Promises


def wrecks(recording: RecordedDisk, promises: Promises, chance: random.Random, share: float) -> Iterator[Wreck]:
    """Cut the power before each operation and after the last, in each of the ways.

    All states around an acknowledgement are given, of the others a ``share``; each state once.
    """
    disk = copy.deepcopy(recording.first)
    edges = {said.after + step for said in promises.acknowledged if said.after for step in (-1, 0)}
    seen: set[int] = set()
    for count in range(len(recording.operations) + 1):
        if count:
            disk.apply(recording.operations[count - 1])
        due = promises.up_to(count)
        for loss in losses(chance):
            if count not in edges and chance.random() > share:
                continue
            tree = disk.after(loss)
            mark = hash((len(due.acknowledged), len(due.notes), frozenset(tree.items())))
            if mark not in seen:
                seen.add(mark)
                yield Wreck(count, loss.label, tree, due)


def faults(wreck: Wreck) -> list[str]:
    """Start the log again on what is left; a sentence for each promise it broke."""
    with scratch() as root, recorded(RecordedDisk(root, wreck.tree)) as recording:
        try:
            life = Life(recording, wreck.promises.up_to(0))
        except Exception as error:
            return [f"the log does not start: {type(error).__name__}: {error}"]
        try:
            found = broken_promises(life)
            life.commit(3)
        except Exception as error:
            return [f"the log does not go on: {type(error).__name__}: {error}"]
        finally:
            life.log.close()
        recording.check_complete()
        last = wreck.promises.acknowledged[-1].note if wreck.promises.acknowledged else None
        report = verify_log(root / "log", life.promises.vkey, since=last, processes=1)
        return found if report.ok else [*found, *map(str, report.lines())]


def broken_promises(life: Life) -> list[str]:
    """What of ``life.promises`` does not hold for its log as it is now."""
    log_dir = life.recording.root / "log"
    hashes, entries = published_hashes(log_dir), published_entries(log_dir)
    checks: list[Callable[[Life, list[bytes], dict[int, bytes]], int]] = [
        lost_records,
        doubled_records,
        wrong_entries,
        broken_notes,
        missing_bundles,
        wrong_payloads,
    ]
    counted = [(check.__name__.replace("_", " "), check(life, hashes, entries)) for check in checks]
    return [f"{count} {name}, the log has {len(hashes)} records" for name, count in counted if count]


def lost_records(life: Life, hashes: list[bytes], entries: dict[int, bytes]) -> int:
    """Acknowledged records that are not at their index."""
    return sum(hashes[said.index : said.index + 1] != [said.leaf_hash] for said in life.promises.acknowledged)


def doubled_records(life: Life, hashes: list[bytes], entries: dict[int, bytes]) -> int:
    """Event ids that stand in the log more than once."""
    ids = Counter(json.loads(entry)["event_id"] for entry in entries.values())
    return sum(count > 1 for count in ids.values())


def wrong_entries(life: Life, hashes: list[bytes], entries: dict[int, bytes]) -> int:
    """Entries that are not those whose hashes stand in the tree."""
    return sum(leaf_hash(entry) != hashes[index] for index, entry in entries.items())


def broken_notes(life: Life, hashes: list[bytes], entries: dict[int, bytes]) -> int:
    """Checkpoints handed out, with receipts or in public, of which the log is no continuation."""
    roots = roots_of(hashes)
    said = {note for _, note in life.promises.notes} | {each.note.encode() for each in life.promises.acknowledged}
    heads = [opened(note, life.promises.vkey) for note in said]
    return sum(roots[head.size : head.size + 1] != [head.root] for head in heads)


@cache
def opened(note: bytes, vkey: str) -> Checkpoint:
    """A checkpoint that was handed out, its signature verified; once for all the states it occurs in."""
    return open_checkpoint(note, VerifierKey.parse(vkey))


def missing_bundles(life: Life, hashes: list[bytes], entries: dict[int, bytes]) -> int:
    """Entries gone without an ``audit:pruned`` record that says so, or still there although it does."""
    pruned = [leaf["counts"]["minimum_index"] for leaf in own_leaves(entries.values(), OwnEvent.PRUNED)]
    minimum = max(pruned, default=0)
    return len(entries.keys() ^ set(range(minimum, len(hashes))))


def wrong_payloads(life: Life, hashes: list[bytes], entries: dict[int, bytes]) -> int:
    """Payloads that cannot be read though nobody erased them, or can although they were erased or pruned.

    An erasure that was not answered has happened, or not: as the record ``audit:redacted`` says.
    """
    recorded_for = [(leaf["subject"], leaf["index"]) for leaf in redactions(entries)]
    kept = [said for said in life.promises.acknowledged if said.payload is not None]
    chosen = [*kept[-PAYLOADS_READ:], *random.sample(kept, min(len(kept), PAYLOADS_READ))]
    wrong = 0
    for said in chosen:
        answered = any(
            each.done is not None and each.project == said.project and said.index < each.below
            for each in life.promises.redactions
        )
        by_record = any(subject.endswith(f"/p-{said.project}") and said.index < at for subject, at in recorded_for)
        expected = said.index in entries and not by_record
        wrong += is_readable(life, said) != expected or (answered and not by_record)
    return wrong


def redactions(entries: dict[int, bytes]) -> Iterator[dict[str, Any]]:
    """The leaves of the erasures on record, with their index."""
    for index, entry in entries.items():
        for leaf in own_leaves([entry], OwnEvent.REDACTED):
            yield {**leaf, "index": index}


def is_readable(life: Life, said: Acknowledged) -> bool:
    try:
        return life.log.erasure.read(said.index) == said.payload
    except (PayloadError, KeyError):
        return False

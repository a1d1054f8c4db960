"""Retention by the tlog-tiles pruning rule: entries and payloads below a minimum index go, hashes stay.

The record ``audit:pruned`` is durable before anything is removed; the start of the daemon finishes what a crash
interrupted. Nothing younger than a year is removed, neither by rule nor by order. Records are removed strictly from the
front, so that one newer record keeps everything behind it (a clock that jumped back therefore keeps more, never less).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from audit.daemon.keys import StartRefused
from audit.durable import fsync_directory, write_atomic
from audit.event import EventError, timestamp
from audit.own_events import OWN_WRITER, OwnEvent
from audit.payload_segments import PayloadItem, PayloadSegments
from audit.payloads import key_of
from audit.reader import read_bundle
from audit.tiles import ENTRIES, TILE_WIDTH, TileId, parse_path

LEAST_KEEP_DAYS = 365
"""EHDS (Regulation (EU) 2025/327) article 73: logs of access in a secure processing environment, at least one year."""


def check_keep_days(days: int) -> None:
    """Raise StartRefused when records would be kept too short a time; 0 keeps them for ever."""
    if days and days < LEAST_KEEP_DAYS:
        raise StartRefused(
            f"--keep-days: expected 0 (keep all) or at least {LEAST_KEEP_DAYS}, found {days}: EHDS article 73 asks for"
            " logs of at least one year."
        )


def check_before(before: datetime, now: datetime) -> None:
    """Raise EventError when an order would remove records younger than a year, whoever gives it."""
    if now - before < timedelta(days=LEAST_KEEP_DAYS):
        raise EventError(
            f"before: expected a time at least {LEAST_KEEP_DAYS} days ago, found {timestamp(before)}: EHDS article 73"
            f" asks for logs of at least one year. Give {timestamp(now - timedelta(days=LEAST_KEEP_DAYS))} or earlier."
        )


def find_minimum(state_dir: Path, leaves: Iterable[bytes]) -> int:
    """The minimum index in force: from ``state/pruned``, or from a record that was durable when a crash came."""
    path = state_dir / "pruned"
    minimum = int(json.loads(path.read_bytes())["minimum_index"]) if path.exists() else 0
    for leaf in own_leaves(leaves, OwnEvent.PRUNED):
        minimum = max(minimum, leaf["counts"]["minimum_index"])
    return minimum


def own_leaves(leaves: Iterable[bytes], event_type: OwnEvent) -> Iterator[dict[str, Any]]:
    """The parsed leaves of one type that the log wrote itself."""
    mark = f'"type":"{event_type.value}"'.encode()
    for leaf in leaves:
        if mark in leaf:
            fields: dict[str, Any] = orjson.loads(leaf)
            if fields["type"] == event_type.value and fields["writer"] == OWN_WRITER:
                yield fields


def choose_minimum(log_dir: Path, published: int, minimum: int, before: str) -> int:
    """The new minimum index: the first record at or after ``before`` (as in a leaf), rounded down to whole bundles."""
    for bundle in range(minimum // TILE_WIDTH, published // TILE_WIDTH):
        if any(leaf_time(leaf) >= before for leaf in read_bundle(log_dir, bundle, TILE_WIDTH)):
            return bundle * TILE_WIDTH
    return published // TILE_WIDTH * TILE_WIDTH


def leaf_time(leaf: bytes) -> str:
    """The ``at`` of a leaf without parsing it: keys are sorted, and only ``actor`` (text) stands before it."""
    start = leaf.index(b'"at":"') + 6
    return leaf[start : leaf.index(b'"', start)].decode("ascii")


def remember_minimum(state_dir: Path, minimum: int) -> None:
    """Keep the minimum index for later starts."""
    write_atomic(state_dir / "pruned", json.dumps({"minimum_index": minimum}).encode(), mode=0o600)


def remove_bundles(log_dir: Path, minimum: int) -> None:
    """Delete every entry bundle, full or partial, that holds only entries below ``minimum``."""
    top = log_dir / "tile" / "entries"
    folders = set()
    for path in list(top.rglob("*")):
        bundle = parse_path(path.relative_to(log_dir).as_posix())
        if bundle is not None and bundle.level == ENTRIES and TileId(ENTRIES, bundle.index).end <= minimum:
            path.unlink()
            folders.add(path.parent)
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        _tidy(folder, top)


def _tidy(folder: Path, top: Path) -> None:
    """Remove a folder that became empty, and those above it; make the removals durable."""
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
    fsync_directory(folder)


def remove_payloads(kept: PayloadSegments, minimum: int) -> None:
    """Drop the payloads of pruned records.

    The newest file stays, emptied if need be: it says up to where the write-ahead log is not needed.
    """
    firsts = kept.firsts()
    for first in firsts:
        summary = kept.summary(first)
        if summary.end <= minimum and first != firsts[-1]:
            kept.remove(first)
        elif summary.lowest is not None and summary.lowest < minimum:
            staying = [(index, blob) for index, blob in kept.items(first) if index >= minimum]
            kept.add(first, summary.end, [PayloadItem(index, key_of(blob), blob) for index, blob in staying])

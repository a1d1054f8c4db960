"""Payloads held against the log, for whoever may read the log's state directory: does each one open, and match?

``withheld`` is not ``tampered``: a payload whose key was destroyed under a record of the log (``audit:redacted``, or
``audit:pruned`` for whole months), or that lies below the minimum index, is gone for a stated reason. A payload that is
gone without one, or that is not what its record committed to, is a problem.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from audit.frames import scan
from audit.own_events import OwnEvent
from audit.payload_segments import PayloadSegmentError, PayloadSegments
from audit.payloads import PayloadError, PayloadVault, generation_name, key_name, key_of
from audit.reader import LogUnreadable, read_bundle
from audit.report import Question, Report, VerifyError
from audit.scan import Noted
from audit.tiles import TILE_WIDTH
from audit.times import parse_at

_MARK = b'"payload":"'


@dataclass(frozen=True)
class Committed:
    """A record with a payload: the commitment in its leaf, and the name of the month's key it belongs under."""

    index: int
    commitment: bytes
    base: str


@dataclass
class Erasures:
    """What the log says was destroyed: keys up to a generation, and the months of pruned records."""

    generations: dict[str, int] = field(default_factory=dict)
    months_before: str = ""

    def cover(self, base: str, key: str) -> bool:
        """True when a record explains that this key is gone."""
        known = (generation_name(base, number) for number in range(1, self.generations.get(base, 0) + 1))
        return base[:7] < self.months_before or key in known


def read_erasures(own: Iterable[Noted]) -> Erasures:
    """From the log's records about itself."""
    found = Erasures()
    for noted in own:
        if noted.type == OwnEvent.REDACTED:
            base = str(noted.leaf.get("subject")).removeprefix("key:")
            found.generations[base] = max(noted.count("generation") or 1, found.generations.get(base, 0))
        elif noted.type == OwnEvent.PRUNED:
            found.months_before = max(found.months_before, noted.text("before")[:7])
    return found


def check_payloads(
    log_dir: Path, state: Path | None, size: int, count: int, minimum: int, own: Iterable[Noted], report: Report
) -> None:
    """Open every payload of a log of ``size`` records, ``count`` of which carry one; raise :class:`VerifyError`."""
    if state is None or not count:
        report.skip(Question.PAYLOADS)
        if count:
            report.notice(Question.PAYLOADS, f"withheld: {count} record(s) carry a payload that was not shown.")
        return
    try:
        _Check(log_dir, state, minimum, read_erasures(own), report).run(size)
    except OSError as error:
        raise VerifyError(
            f"The state directory cannot be read ({error.strerror}); give the directory that holds 'keys' and"
            " 'payloads', as a user who may read it."
        ) from error


class _Check:
    def __init__(self, log_dir: Path, state: Path, minimum: int, erasures: Erasures, report: Report) -> None:
        self._log_dir = log_dir
        self._minimum = minimum
        self._erasures = erasures
        self._report = report
        self._keys = state / "keys"
        self._vault = PayloadVault(self._keys)
        self._held = Held(state)
        self._withheld: Counter[str] = Counter()

    def run(self, size: int) -> None:
        for record in committed(self._log_dir, size):
            try:
                problem = self._fault(record)
            except (PayloadError, PayloadSegmentError) as error:
                problem = f"tampered: {error}"
            if problem:
                self._report.problem(Question.PAYLOADS, problem, entry=record.index)
        for reason, count in sorted(self._withheld.items()):
            self._report.notice(Question.PAYLOADS, f"withheld: {count} payload(s), {reason}.")

    def _fault(self, record: Committed) -> str:
        blob = self._held.find(record.index)
        if not blob:
            if record.index >= self._minimum:
                return "The payload is gone, and no record explains it."
            self._withheld["pruned with the records around them"] += 1
            return ""
        key = key_of(blob)
        if key.partition(".")[0] != record.base:
            return f"tampered: the payload lies under the key {key}, its record belongs under {record.base}."
        if (self._keys / f"{key}.key").exists():
            self._vault.open(blob, record.commitment)
            return ""
        if self._erasures.cover(record.base, key):
            self._withheld["whose key was erased as the log records"] += 1
            return ""
        return f"The key {key} is gone, and no audit:redacted record explains it."


class Held:
    """The ciphertexts of a state directory, one segment in memory at a time. Ask in ascending order."""

    def __init__(self, state: Path) -> None:
        if not (state / "keys").is_dir():
            raise VerifyError("There are no payload keys there; give the log's state directory with --payloads.")
        self._wal = state / "wal"
        self._kept = PayloadSegments(state / "payloads") if (state / "payloads").is_dir() else None
        self._blobs: dict[int, bytes] = {}
        self._begin = self._end = 0
        self._unreadable_from = sys.maxsize

    def find(self, index: int) -> bytes | None:
        """The ciphertext for a record, None when there is none; raise PayloadSegmentError for a damaged one."""
        if not self._begin <= index < self._end:
            self._load(index)
        if index in self._blobs:
            return self._blobs[index]
        # a damaged segment is read record by record, and the daemon may have moved a segment meanwhile
        found = self._kept.read(index) if self._kept is not None else None
        if not found and index >= self._unreadable_from:
            raise PayloadSegmentError("the write-ahead log is damaged before or at this record.")
        return found

    def _load(self, index: int) -> None:
        self._blobs, self._begin, self._end, self._unreadable_from = {}, 0, 0, sys.maxsize
        first = max((first for first in self._kept.firsts() if first <= index), default=None) if self._kept else None
        if self._kept is not None and first is not None and index < (end := self._kept.summary(first).end):
            self._begin, self._end = first, end
            try:
                self._blobs = dict(self._kept.items(first))
            except PayloadSegmentError:
                self._blobs = {}
            return
        self._load_wal(index)

    def _load_wal(self, index: int) -> None:
        firsts = sorted(int(path.stem) for path in self._wal.glob("[0-9]*.wal"))
        first = max((first for first in firsts if first <= index), default=None)
        if first is None:
            return
        try:
            data = (self._wal / f"{first:020d}.wal").read_bytes()
        except FileNotFoundError:
            # moved to a payload segment since the listing
            return
        found = scan(data)
        self._begin, self._end = first, min((later for later in firsts if later > first), default=sys.maxsize)
        self._blobs = {at: record.payload for at, record in enumerate(found.records, first) if record.payload}
        if found.end < len(data):
            self._unreadable_from = first + len(found.records)


def committed(log_dir: Path, size: int) -> Iterator[Committed]:
    """The records that carry a payload, in order; bundles that cannot be read are passed over (others report them)."""
    for bundle in range(-(-size // TILE_WIDTH)):
        base = bundle * TILE_WIDTH
        try:
            entries = read_bundle(log_dir, bundle, min(TILE_WIDTH, size - base))
        except LogUnreadable:
            continue
        for index, entry in enumerate(entries, base):
            if _MARK in entry and (found := read_commitment(index, entry)) is not None:
                yield found


def read_commitment(index: int, entry: bytes) -> Committed | None:
    """What a leaf says about its payload; None when it is no record with one."""
    try:
        leaf = orjson.loads(entry)
        commitment = bytes.fromhex(leaf["payload"])
        at = parse_at(leaf["at"])
        return None if at is None else Committed(index, commitment, key_name(leaf.get("project"), at))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None

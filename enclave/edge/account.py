"""One person's day in one project: what was shown, what of it is on record, and where that puts them.

Kept in a small file, so that a restarted edge goes on counting; at most a second of counting is lost when it is killed.
A file that cannot be read counts as nothing shown (the log is the record). One event loop, no locks. Non-goal: writing
to the audit log; ``enclave.edge.meter`` takes what is pending.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

from enclave.edge.exposure import Budget, ExposureState, Volume, decide_state
from enclave.edge.kernel_frames import Data
from enclave.files import write_atomically

_ORDER = list(ExposureState)
_START = "0" * 64
_NOTHING = Volume()


@dataclass(frozen=True)
class Pending:
    """What was shown since the last record: volume, and a digest chained over the SHA-256 of every message."""

    day: date
    volume: Volume = _NOTHING
    digest: str = _START
    kept: int = 0
    """Lines that came into that day's archive since, and that no record commits to yet."""

    @property
    def is_due(self) -> bool:
        """A record has to say so (traffic that shows nothing needs none)."""
        return bool(self.volume.messages or self.volume.bytes or self.kept)


@dataclass
class Account:
    """``today`` and ``budget`` are asked at each message."""

    project: str
    username: str
    path: Path
    today: Callable[[], date]
    budget: Callable[[], Budget]
    sockets: int = 0
    day: date = field(init=False)
    shown: Volume = field(init=False, default=_NOTHING)
    worst: ExposureState = field(init=False, default=ExposureState.OK)
    """The worst state of the day under ``worst_budget``; a wider permit lifts it."""
    worst_budget: Budget | None = field(init=False, default=None)
    pending: list[Pending] = field(init=False, default_factory=list)
    news: list[ExposureState] = field(init=False, default_factory=list)
    """States reached and not on record yet."""
    dirty: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.day = self.today()
        self._load()
        self._roll()

    def state(self) -> ExposureState:
        """Where the person stands now."""
        self._roll()
        return self._state_after(Volume())

    def add(self, volume: Volume, data: Data | None, *, seen: bool = True) -> ExposureState:
        """Something is about to be shown; the state that holds for it. It is not counted when that is STOPPED.

        ``seen=False`` counts all the same: it could not be understood, so nobody knows what it was.
        """
        self._roll()
        state = self._state_after(volume)
        if _ORDER.index(state) > _ORDER.index(self.worst) or self.worst_budget != self.budget():
            self._note(state)
        if state is ExposureState.STOPPED and seen and volume.bytes:
            return state
        self.shown += volume
        self._add_pending(volume, data)
        self.dirty = True
        return state

    def _state_after(self, volume: Volume) -> ExposureState:
        budget = self.budget()
        found = decide_state(self.shown + volume, budget)
        if self.worst is ExposureState.STOPPED and self.worst_budget == budget:
            return ExposureState.STOPPED
        return found

    def _note(self, state: ExposureState) -> None:
        if state is not ExposureState.OK and (state is not self.worst or self.worst_budget != self.budget()):
            self.news.append(state)
        self.worst, self.worst_budget = state, self.budget()
        self.dirty = True

    def _add_pending(self, volume: Volume, data: Data | None) -> None:
        entry = self._pending_of(self.day)
        digest = entry.digest
        if data is not None and volume.bytes:
            content = hashlib.sha256(data.encode("utf-8", "replace") if isinstance(data, str) else data).digest()
            digest = hashlib.sha256(bytes.fromhex(digest) + content).hexdigest()
        self._put(replace(entry, volume=entry.volume + volume, digest=digest))

    def kept(self, day: date) -> None:
        """A line came into the archive of ``day``, which may be over: sealing and waiting take their time."""
        entry = self._pending_of(day)
        self._put(replace(entry, kept=entry.kept + 1))
        self.dirty = True

    def _pending_of(self, day: date) -> Pending:
        return next((entry for entry in self.pending if entry.day == day), Pending(day))

    def _put(self, entry: Pending) -> None:
        """One entry per day, the oldest first, also where the clock is set back over midnight."""
        others = [other for other in self.pending if other.day != entry.day]
        self.pending = sorted([*others, entry], key=lambda each: each.day)

    def recorded(self, what: Pending) -> None:
        """``what`` is on record; what came after it stays pending."""

        def rest_of(entry: Pending) -> Pending:
            if entry.day != what.day:
                return entry
            return replace(entry, volume=entry.volume - what.volume, kept=entry.kept - what.kept)

        rest = [rest_of(entry) for entry in self.pending]
        self.pending = [entry for entry in rest if entry.day != what.day or entry.is_due]
        self.dirty = True

    def _roll(self) -> None:
        """Begin a new day when it is one."""
        if self.day == self.today():
            return
        self.day, self.shown, self.dirty = self.today(), Volume(), True
        self.worst, self.worst_budget = ExposureState.OK, None

    def save(self) -> None:
        """Write the file. Raises OSError."""
        content = {
            "project": self.project,
            "username": self.username,
            "day": self.day.isoformat(),
            "shown": asdict(self.shown),
            "worst": self.worst,
            "worst_budget": asdict(self.worst_budget) if self.worst_budget else None,
            "pending": [{**asdict(entry), "day": entry.day.isoformat()} for entry in self.pending],
            "news": self.news,
        }
        self.dirty = False
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(self.path, json.dumps(content).encode(), mode=0o600)

    def _load(self) -> None:
        try:
            found = json.loads(self.path.read_bytes())
            shown, worst = Volume(**found["shown"]), ExposureState(found["worst"])
            budget = Budget(**found["worst_budget"]) if found["worst_budget"] else None
            pending = [
                Pending(
                    date.fromisoformat(entry["day"]),
                    Volume(**entry["volume"]),
                    str(entry["digest"]),
                    int(entry.get("kept", 0)),
                )
                for entry in found["pending"]
            ]
            news = [ExposureState(state) for state in found["news"]]
            self.day = date.fromisoformat(found["day"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        self.shown, self.worst, self.worst_budget, self.pending, self.news = shown, worst, budget, pending, news

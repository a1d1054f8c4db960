"""One target's way through the log: read, filter, format, send, and only then move the cursor.

Rules, in this order. The cursor moves only after the sink has taken, or finally refused, every record before it. A sink
that is unavailable is tried again for ever, with a growing, scattered pause and smaller batches, and the operator log
says so. A record a receiver refuses is offered alone ``tries`` times and then written to the dead-letter file, durably,
before the cursor moves. A log that is not the one seen before is never exported on: the target waits for a person.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from audit.event import timestamp
from audit.exports.config import Target
from audit.exports.cursor import CursorBroken, CursorFile, Position
from audit.exports.lines import LineFile
from audit.exports.message import Format, Message, RecordUnreadable, SiteFacts
from audit.exports.progress import Progress, State
from audit.exports.sinks import Refusal, Sink, SinkUnavailable
from audit.exports.source import Batch, LogReplaced, LogSource
from audit.reader import LogUnreadable

_log = structlog.get_logger()
FIRST_PAUSE = 0.2
HALTED_PAUSE = 60.0


class Pump:
    """Driven by one thread; ``stop`` ends every wait."""

    def __init__(
        self,
        target: Target,
        source: LogSource,
        cursor: CursorFile,
        dead: LineFile,
        sink: Sink,
        form: Format,
        site: SiteFacts,
        stop: threading.Event,
        *,
        poll_seconds: float = 1.0,
        scatter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.progress = Progress(target.name, str(target.format), target.shown_address)
        self._target = target
        self._source = source
        self._cursor = cursor
        self._dead = dead
        self._sink = sink
        self._format = form
        self._site = site
        self._stop = stop
        self._poll_seconds = poll_seconds
        self._scatter = scatter
        self._stored: Position | None = None
        self._next = 0
        self._limit = target.batch

    def run(self) -> None:
        """Turn after turn until told to stop; no failure of this target reaches another one."""
        while not self._stop.is_set():
            pause = self.step()
            if pause:
                self._stop.wait(pause)
        self._sink.close()
        self.progress.set(state=State.STOPPED)

    def turn(self) -> bool:
        """Deliver one batch; False when there was nothing to deliver."""
        stored = self._stored or self._begin()
        batch = self._source.batch(self._next, self._limit, stored)
        if batch.skipped_from is not None:
            stored = self._note_pruned(batch, stored)
        if not batch.entries:
            self._sink.check()
            self.progress.set(state=State.RUNNING, failures=0, problem="", next=stored.next)
            return False
        messages = self._messages(batch)
        if messages:
            for refusal in self._sink.send(messages):
                self._settle(refusal, next(message for message in messages if message.index == refusal.index))
        self._advance(batch, stored)
        return True

    def step(self) -> float:
        """One turn; the seconds to wait before the next one."""
        try:
            return 0.0 if self.turn() else self._poll_seconds
        except SinkUnavailable as error:
            self._rewind()
            # a slow receiver may manage a smaller batch within the time limit: without this it would never get on
            self._limit = max(1, self._limit // 2)
            return self._failed(str(error), error.retry_after)
        except LogUnreadable as error:
            return self._failed(str(error), None)
        except (LogReplaced, CursorBroken) as error:
            self.progress.set(state=State.HALTED, problem=str(error))
            _log.error("export-halted", target=self._target.name, reason=str(error))
            return HALTED_PAUSE
        except OSError as error:
            return self._failed(f"Its own files cannot be written ({error.strerror}).", None)
        except Exception as error:  # the error boundary of this thread
            return self._failed(f"Unexpected {type(error).__name__}; report this as a fault of the exporter.", None)

    def _begin(self) -> Position:
        stored = self._cursor.load()
        if stored is None:
            head = self._source.head()
            first = head.size if self._target.start == "now" else 0
            stored = Position(head.origin, first, head.size, head.root, first)
            self._cursor.save(stored)
        self._stored = stored
        self.progress.set(next=stored.next)
        self._rewind()
        return stored

    def _rewind(self) -> None:
        """Where nothing is acknowledged, the last records may have been lost with the connection: send them again."""
        if self._stored is not None:
            self._next = max(self._stored.first, self._stored.next - self._sink.rewind)

    def _messages(self, batch: Batch) -> list[Message]:
        messages = []
        for entry in batch.entries:
            if not self._target.filter.wants(entry):
                continue
            try:
                messages.append(self._format.encode(entry, batch.head.origin, self._site))
            except RecordUnreadable as error:
                self._bury(entry.index, entry.leaf_hash, str(error), 1)
        return messages

    def _settle(self, refusal: Refusal, message: Message) -> None:
        """Offer a refused record alone until it is taken or its tries are used up.

        At once the first time: it may only have shared a batch with the one that was refused.
        """
        tries = 1
        while not refusal.final and tries < self._target.tries:
            self.progress.set(state=State.RETRYING, problem=f"Record {refusal.index}: {refusal.reason}")
            if self._stop.wait(self._pause(tries - 1) if tries > 1 else 0.0):
                raise SinkUnavailable("Stopped while a refused record was being offered again.")
            again = self._sink.send([message])
            tries += 1
            if not again:
                return
            refusal = again[0]
        self._bury(message.index, message.leaf_hash, refusal.reason, tries)

    def _bury(self, index: int, leaf_hash: str, reason: str, tries: int) -> None:
        stored = self._stored
        line = {
            "at": timestamp(datetime.now(UTC)),
            "target": self._target.name,
            "origin": stored.origin if stored else "",
            "index": index,
            "leaf_hash": leaf_hash,
            "reason": reason,
            "tries": tries,
        }
        self._dead.append([json.dumps(line, ensure_ascii=False).encode()], index)
        self.progress.buried()
        _log.error("record-not-delivered", target=self._target.name, index=index, reason=reason, tries=tries)

    def _note_pruned(self, batch: Batch, stored: Position) -> Position:
        first, last = batch.skipped_from, batch.start - 1
        _log.warning("pruned-before-export", target=self._target.name, first=first, last=last)
        line = {"target": self._target.name, "first": first, "last": last, "reason": "pruned before it was exported"}
        self._dead.append([json.dumps(line).encode()], batch.start)
        self._stored = replace(stored, first=batch.start)
        return self._stored

    def _advance(self, batch: Batch, stored: Position) -> None:
        self._next = batch.end
        self._limit = min(self._target.batch, self._limit * 2)
        if batch.end > stored.next:
            stored = replace(stored, next=batch.end, size=batch.head.size, root=batch.head.root)
            self._cursor.save(stored)
            self._stored = stored
        self.progress.delivered(stored.next, datetime.now(UTC))

    def _failed(self, reason: str, retry_after: float | None) -> float:
        failures = self.progress.failed(reason)
        if failures == 1 or failures % self._target.tries == 0:
            _log.error("export-delayed", target=self._target.name, reason=reason, failures=failures)
        return min(max(self._pause(failures), retry_after or 0.0), max(self._target.retry_seconds_max, 0.01))

    def _pause(self, failures: int) -> float:
        longest = min(self._target.retry_seconds_max, FIRST_PAUSE * 2.0 ** min(failures - 1, 20))
        return self._scatter(longest / 2, longest)

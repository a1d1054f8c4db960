"""One-off export without a cursor: everything published so far (or from an index on), then done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from audit.exports.config import Target
from audit.exports.cursor import Position
from audit.exports.message import Format, Message, SiteFacts
from audit.exports.sinks import Refusal, Sink, SinkUnavailable
from audit.exports.source import LogSource


@dataclass(frozen=True)
class Result:
    """``last``: index after the last record looked at. ``delivered`` does not count what was refused."""

    delivered: int
    last: int
    refused: tuple[Refusal, ...]


def export_once(
    source: LogSource, target: Target, sink: Sink, form: Format, site: SiteFacts, *, start: int = 0
) -> Result:
    """Send ``[start, size)`` in order; raise :class:`SinkUnavailable` when a batch failed ``target.tries`` times."""
    head = source.head()
    seen = Position(head.origin, 0, head.size, head.root)
    at, delivered, refused = start, 0, []
    while at < head.size:
        batch = source.batch(at, min(target.batch, head.size - at), seen)
        wanted = [form.encode(entry, head.origin, site) for entry in batch.entries if target.filter.wants(entry)]
        refusals = _send(sink, wanted, target.tries) if wanted else []
        for refusal in refusals:
            alone = [message for message in wanted if message.index == refusal.index]
            refused += [refusal] if refusal.final or len(wanted) == 1 else _send(sink, alone, target.tries)
        delivered += len(wanted)
        at = batch.end
    return Result(delivered - len(refused), at, tuple(refused))


def _send(sink: Sink, messages: Sequence[Message], tries: int) -> list[Refusal]:
    for number in range(1, tries + 1):
        try:
            return sink.send(messages)
        except SinkUnavailable as error:
            if number == tries:
                raise
            time.sleep(min(error.retry_after or 0.2 * 2**number, 5.0))
    return []

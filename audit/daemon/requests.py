"""What a client may ask for, and what is answered. No sockets here.

``record`` waits for its batch. ``payload``, ``redact`` and ``prune`` are for readers only; ``redact`` and ``prune`` are
carried out at once, between two batches, so that what was recorded before is erased and what comes later is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from audit.canonical import CanonicalError
from audit.daemon.core import AuditLog
from audit.daemon.records import Prepared, Stored
from audit.daemon.retention import parse_before
from audit.event import Envelope, EventError, Peer, check_envelope
from audit.own_events import OWN_WRITER, OwnEvent, own_event
from audit.payload_segments import PayloadSegmentError
from audit.payloads import PayloadError
from audit.wal import WalFull, WalRefused
from audit.wire import WireError, encode_body

REFUSALS = (EventError, CanonicalError, WireError, PayloadError, ValueError, TypeError)
"""What a client did wrong, in a sentence for it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A record for the next batch; ``answer`` gives the answer's bytes once it is durable."""

    prepared: Prepared
    answer: Callable[[Stored], bytes]


class Desk:
    """Turns messages into records and answers. ``reader_uids``: who may read, redact and prune."""

    def __init__(self, log: AuditLog, reader_uids: frozenset[int]) -> None:
        self._log = log
        self._readers = reader_uids
        self._note = ""
        self._note_json = b""

    def take(self, message: dict[str, Any], peer: Peer) -> Request | None:
        """The request of a message that can wait for its batch; None for one that ``act`` must carry out alone.

        Raise one of :data:`REFUSALS`.
        """
        match message.get("op"):
            case "record":
                return Request(self._log.prepare(message, peer), self._receipt)
            case "payload":
                self._check_reader(peer)
                index = message.get("index")
                if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < self._log.size:
                    raise EventError("index: expected the index of a record in the log.")
                actor = str(message.get("reader"))
                event = own_event(OwnEvent.READ, actor=actor, subject=f"entry:{index}", data={"payload": True})
                return Request(self._log.prepare_own(event), lambda _: self._payload(index))
            case "redact" | "prune":
                self._check_reader(peer)
                return None
            case _:
                raise EventError("op: expected 'record', 'payload', 'redact' or 'prune'.")

    def act(self, message: dict[str, Any]) -> bytes:
        """Carry out ``redact`` or ``prune`` and answer; raise one of :data:`REFUSALS`, WalFull or WalBroken."""
        event_id = message.get("event_id")
        check_envelope(Envelope(str(event_id or ""), OWN_WRITER, "order", 1))
        if message["op"] == "redact":
            asked = (message.get("month"), message.get("project"), message.get("by"), message.get("legal_basis"))
            return self._receipt(self._log.redact(*asked, event_id=event_id))
        before = parse_before(message.get("before"))
        return self._receipt(self._log.prune(before, message.get("by"), event_id=event_id))

    def _check_reader(self, peer: Peer) -> None:
        if peer.uid not in self._readers:
            raise EventError(
                f"User id {peer.uid} may write to the audit log, but neither read payloads nor erase; the daemon needs"
                f" --reader-uid {peer.uid}."
            )

    def _receipt(self, stored: Stored) -> bytes:
        note = self._log.note
        if note is not self._note:
            # one checkpoint answers a whole batch: its JSON is made once
            self._note, self._note_json = note, orjson.dumps(note)
        return b'{"ok":true,"index":%d,"leaf_hash":"%s","checkpoint":%s}' % (
            stored.index,
            stored.leaf_hash.hex().encode(),
            self._note_json,
        )

    def _payload(self, index: int) -> bytes:
        try:
            return encode_body({"ok": True, "payload": self._log.erasure.read(index)})
        except (PayloadError, WalRefused, PayloadSegmentError) as error:
            return refusal(str(error))


def refusal(sentence: str, kind: str = "refused") -> bytes:
    """The answer to what is not done; ``kind`` is ``refused`` or ``full``."""
    return encode_body({"ok": False, "kind": kind, "error": sentence})


def refusal_of(error: Exception) -> bytes:
    """The answer to a request that failed."""
    if isinstance(error, WalFull):
        return refusal(str(error), "full")
    if isinstance(error, OSError):
        return refusal(f"The log's disk does not take it ({error.strerror}); free some disk space.", "full")
    return refusal(str(error))

"""The client every other part uses: ``record`` returns only when the record is durable and signed for."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from audit.canonical import encode_checked
from audit.event import MAX_PAYLOAD_BYTES, AuditEvent, Envelope, EventError, Receipt, check_envelope, event_fields
from audit.link import Link
from audit.reader import LogUnreadable, read_checkpoint
from audit.wire import WireError, encode_body, frame_body

RETRY_SECONDS = 0.05


class AuditUnavailable(RuntimeError):
    """No receipt: the record may or may not be in the log. What was to be recorded must not happen."""


class AuditRefused(AuditUnavailable):
    """The log said no. ``is_full``: it has no room at present; else the event is malformed or oversize, or the user id
    is not allowed, and sending the same again will not help."""

    def __init__(self, sentence: str, *, is_full: bool = False) -> None:
        super().__init__(sentence)
        self.is_full = is_full


class AuditClient:
    """Thread-safe, and safe to use after a fork; connections are opened as needed and kept.

    ``writer`` names the process in each record. Records are numbered per writer and start, so that a missing one shows.
    """

    def __init__(self, socket: Path | str, writer: str) -> None:  # the socket's path
        self._path = str(socket)
        self._writer = writer
        self._lock = threading.Lock()
        self._begin()
        check_envelope(Envelope("check", writer, self._boot, 1))

    def _begin(self) -> None:
        self._process = os.getpid()
        self._boot = secrets.token_hex(8)
        self._seq = 0
        self._idle: list[Link] = []

    @property
    def writer(self) -> str:
        """The name in each record of this client."""
        return self._writer

    @property
    def boot(self) -> str:
        """What tells this client's records from those of an earlier start of the same writer."""
        return self._boot

    def record(
        self,
        event: AuditEvent,
        *,
        envelope: Envelope | None = None,
        timeout: float = 5.0,
        meanwhile: Callable[[], None] | None = None,
    ) -> Receipt:
        """Append one event and wait until it is durable, at most ``timeout`` seconds.

        A lost connection is opened again and the same record sent again; the log keeps it once. Raise EventError or
        CanonicalError for an event that cannot be recorded, :class:`AuditUnavailable` when there is no receipt.
        ``envelope``: one of ``new_envelope``, for a caller that may send the same record again after that.
        ``meanwhile``: what needs no receipt, done once the record is on its way; called at most once, must not raise.
        """
        pending = self.send(event, envelope=envelope, timeout=timeout)
        if meanwhile is not None and pending.is_sent:
            meanwhile()
        return pending.wait()

    def send(self, event: AuditEvent, *, envelope: Envelope | None = None, timeout: float = 5.0) -> PendingRecord:
        """Put one event on its way, as ``record`` does, and return before it is durable: ``wait`` for the receipt.

        Raise EventError or CanonicalError. A log that cannot be reached is heard of in ``wait``.
        """
        fields = event_fields(event)
        encoded = encode_checked(fields)
        message: dict[str, Any] = {"op": "record", "event": orjson.Fragment(encoded)}
        message.update(vars(envelope or self.new_envelope()))
        if event.payload is not None:
            message["payload"] = encode_payload(event.payload)
        try:
            body = orjson.dumps(message)
        except TypeError:
            # a lone surrogate in the payload
            body = encode_body({**message, "event": fields})
        return PendingRecord(self, frame_body(body), timeout)

    def payload(self, index: int, reader: str, *, timeout: float = 5.0) -> dict[str, Any]:
        """Decrypt the payload of record ``index``; the log records ``audit:read`` by ``reader`` before it answers."""
        answer = self._exchange(encode_body({"op": "payload", "index": index, "reader": reader}), timeout)
        found: dict[str, Any] = json.loads(answer["payload"])
        return found

    def redact(self, month: str, project: str | None, *, by: str, legal_basis: str, timeout: float = 60.0) -> Receipt:
        """Erase the payloads of one month (``2026-11``) and project for good; the receipt is that of the record of it.

        Raise AuditRefused when there is nothing to erase or this account may not.
        """
        asked = {"op": "redact", "month": month, "project": project, "by": by, "legal_basis": legal_basis}
        return self._order(asked, timeout)

    def prune(self, before: str, *, by: str, timeout: float = 600.0) -> Receipt:
        """Remove whole bundles of records older than ``before`` (RFC 3339 with zone); raise AuditRefused."""
        return self._order({"op": "prune", "before": before, "by": by}, timeout)

    def wait_published(self, index: int, log_dir: Path, timeout: float = 5.0) -> None:
        """Wait until the published checkpoint covers record ``index``; raise AuditUnavailable after ``timeout``."""
        wait_published(index, log_dir, timeout)

    def close(self) -> None:
        """Close idle connections; the client can still be used."""
        with self._lock:
            links, self._idle = self._idle, []
        for link in links:
            link.close()

    def _order(self, asked: dict[str, Any], timeout: float) -> Receipt:
        """The log writes the record of it itself: no number of this writer is used up."""
        return _receipt(self._exchange(encode_body({**asked, "event_id": secrets.token_hex(16)}), timeout))

    def new_envelope(self) -> Envelope:
        """An id and the next number for one record."""
        with self._lock:
            if self._process != os.getpid():
                # a forked child: same counter and connections would mix its records up with its parent's
                self._begin()
            self._seq += 1
            seq, boot = self._seq, self._boot
        return Envelope(secrets.token_hex(16), self._writer, boot, seq)

    def is_reachable(self) -> bool:
        """Does something listen at the log's socket? Says nothing about whether it takes records."""
        try:
            Link(self._path, time.monotonic() + RETRY_SECONDS).close()
        except OSError:
            return False
        return True

    def _exchange(self, body: bytes, timeout: float) -> dict[str, Any]:
        return self._answer_to(frame_body(body), None, timeout, time.monotonic() + timeout)

    def _answer_to(self, data: bytes, sent: _Sent | None, timeout: float, deadline: float) -> dict[str, Any]:
        """The answer to what was sent; over a new connection when the one it went over is lost, until the deadline."""
        while True:
            try:
                answer = self._receive(sent or self._send(data, deadline), deadline)
                break
            except _StaleLinkError:
                sent = None
            except (OSError, EOFError, WireError) as error:
                sent = None
                if time.monotonic() + RETRY_SECONDS >= deadline:
                    raise AuditUnavailable(
                        f"The audit log gave no receipt within {timeout:g} s ({type(error).__name__});"
                        " the action is refused. See that the audit daemon runs."
                    ) from error
                time.sleep(RETRY_SECONDS)
        if not answer.get("ok"):
            sentence = f"The audit log refused the record: {answer.get('error', 'no reason given')}"
            raise AuditRefused(sentence, is_full=answer.get("kind") == "full")
        return answer

    def _send(self, data: bytes, deadline: float) -> _Sent:
        used = self._take()
        sent = _Sent(used or Link(self._path, deadline), used is not None)
        try:
            sent.link.send(data, deadline)
        except BaseException as error:
            sent.give_up(error)
            raise
        return sent

    def _receive(self, sent: _Sent, deadline: float) -> dict[str, Any]:
        try:
            answer = sent.link.receive(deadline)
        except BaseException as error:
            sent.give_up(error)
            raise
        with self._lock:
            self._idle.append(sent.link)
        return answer

    def _take(self) -> Link | None:
        with self._lock:
            if self._process != os.getpid():
                self._begin()
            return self._idle.pop() if self._idle else None


class PendingRecord:
    """A record on its way to the log. Whoever drops it without ``wait`` does not know whether it is there."""

    def __init__(self, client: AuditClient, data: bytes, timeout: float) -> None:
        self._client, self._data, self._timeout = client, data, timeout
        self._deadline = time.monotonic() + timeout
        self._sent: _Sent | None = None
        with contextlib.suppress(OSError, _StaleLinkError):
            self._sent = client._send(data, self._deadline)

    @property
    def is_sent(self) -> bool:
        """False when it could not be sent yet."""
        return self._sent is not None

    def is_answered(self) -> bool:
        """Something has come back, or the connection has ended; waits for nothing."""
        return self._sent is not None and self._sent.link.is_readable()

    def wait(self, timeout: float | None = None) -> Receipt:
        """The receipt; raise :class:`AuditUnavailable`. ``timeout``: from now on, in place of that of ``send``."""
        deadline = self._deadline if timeout is None else time.monotonic() + timeout
        sent, self._sent = self._sent, None
        seconds = self._timeout if timeout is None else timeout
        answer = self._client._answer_to(self._data, sent, seconds, deadline)
        return _receipt(answer)


class _StaleLinkError(Exception):
    """A connection kept from an earlier record is dead: no reason to wait before the next attempt."""


@dataclass(frozen=True)
class _Sent:
    """The connection that a message went over. ``was_kept``: from an earlier one."""

    link: Link
    was_kept: bool

    def give_up(self, error: BaseException) -> None:
        """Hang up; raise _StaleLinkError where a new connection may do better."""
        self.link.close()
        if self.was_kept and isinstance(error, OSError | EOFError | WireError):
            raise _StaleLinkError from error


def _receipt(answer: Mapping[str, Any]) -> Receipt:
    return Receipt(answer["index"], answer["leaf_hash"], answer["checkpoint"])


def encode_payload(payload: Mapping[str, Any]) -> str:
    """A payload as JSON text; raise EventError when it is too long or not JSON."""
    try:
        text = json.dumps(dict(payload), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise EventError("payload: expected JSON values only; turn other values into text first.") from error
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PAYLOAD_BYTES:
        raise EventError(f"payload: expected at most {MAX_PAYLOAD_BYTES} bytes; shorten it before recording.")
    return text


def wait_published(index: int, log_dir: Path, timeout: float = 5.0) -> None:
    """Wait until the published checkpoint covers record ``index``; raise AuditUnavailable after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            size = read_checkpoint(Path(log_dir))[1].size
        except LogUnreadable:
            size = 0
        if size > index:
            return
        if time.monotonic() >= deadline:
            raise AuditUnavailable(
                f"Record {index} was not published within {timeout:g} s (the published log holds {size} records);"
                " see that the audit daemon runs."
            )
        time.sleep(0.02)

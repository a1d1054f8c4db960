"""The client every other part uses: ``record`` returns only when the record is durable and signed for."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.canonical import canonical_json
from audit.event import MAX_PAYLOAD_BYTES, AuditEvent, Envelope, EventError, Receipt, check_envelope, event_fields
from audit.reader import LogUnreadable, read_checkpoint
from audit.wire import WireError, encode_message, take_messages

RETRY_SECONDS = 0.05
_CHUNK = 64 * 1024


class AuditUnavailable(RuntimeError):
    """No receipt: the record may or may not be in the log. What was to be recorded must not happen."""


class AuditRefused(AuditUnavailable):
    """The log said no (malformed or oversize event, disk full, user id not allowed); sending again will not help."""


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
        self._idle: list[_Link] = []

    def record(self, event: AuditEvent, *, timeout: float = 5.0) -> Receipt:
        """Append one event and wait until it is durable, at most ``timeout`` seconds.

        A lost connection is opened again and the same record sent again; the log keeps it once. Raise EventError or
        CanonicalError for an event that cannot be recorded, :class:`AuditUnavailable` when there is no receipt.
        """
        fields = event_fields(event)
        canonical_json(fields)
        message: dict[str, Any] = {"op": "record", "event": fields}
        if event.payload is not None:
            message["payload"] = encode_payload(event.payload)
        answer = self._exchange({**message, **self._envelope()}, timeout)
        return Receipt(answer["index"], answer["leaf_hash"], answer["checkpoint"])

    def payload(self, index: int, reader: str, *, timeout: float = 5.0) -> dict[str, Any]:
        """Decrypt the payload of record ``index``; the log records ``audit:read`` by ``reader`` before it answers."""
        answer = self._exchange({"op": "payload", "index": index, "reader": reader}, timeout)
        found: dict[str, Any] = json.loads(answer["payload"])
        return found

    def wait_published(self, index: int, log_dir: Path, timeout: float = 5.0) -> None:
        """Wait until the published checkpoint covers record ``index``; raise AuditUnavailable after ``timeout``."""
        wait_published(index, log_dir, timeout)

    def close(self) -> None:
        """Close idle connections; the client can still be used."""
        with self._lock:
            links, self._idle = self._idle, []
        for link in links:
            link.close()

    def _envelope(self) -> dict[str, Any]:
        with self._lock:
            if self._process != os.getpid():
                # a forked child: same counter and connections would mix its records up with its parent's
                self._begin()
            self._seq += 1
            return {
                "event_id": secrets.token_hex(16),
                "writer": self._writer,
                "boot": self._boot,
                "seq": self._seq,
            }

    def _exchange(self, message: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        data = encode_message(dict(message))
        deadline = time.monotonic() + timeout
        while True:
            try:
                answer = self._attempt(data, deadline)
                break
            except (OSError, EOFError, WireError) as error:
                if time.monotonic() + RETRY_SECONDS >= deadline:
                    raise AuditUnavailable(
                        f"The audit log gave no receipt within {timeout:g} s ({type(error).__name__});"
                        " the action is refused. See that the audit daemon runs."
                    ) from error
                time.sleep(RETRY_SECONDS)
        if not answer.get("ok"):
            raise AuditRefused(f"The audit log refused the record: {answer.get('error', 'no reason given')}")
        return answer

    def _attempt(self, data: bytes, deadline: float) -> dict[str, Any]:
        link = self._take(deadline)
        try:
            answer = link.exchange(data, deadline)
        except BaseException:
            link.close()
            raise
        with self._lock:
            self._idle.append(link)
        return answer

    def _take(self, deadline: float) -> _Link:
        with self._lock:
            if self._process != os.getpid():
                self._begin()
            while self._idle:
                link = self._idle.pop()
                if link.alive():
                    return link
                link.close()
        return _Link(self._path, deadline)


class _Link:
    """One connection, one request at a time."""

    def __init__(self, path: str, deadline: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        try:
            self._wait(deadline)
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise

    def alive(self) -> bool:
        """False when the daemon has closed its end (or sent something nobody asked for)."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def exchange(self, data: bytes, deadline: float) -> dict[str, Any]:
        """Send one message, wait for one answer; raise OSError (also on timeout), EOFError or WireError."""
        self._wait(deadline)
        try:
            self._socket.sendall(data)
        except BrokenPipeError:
            # a refused peer finds its answer waiting although the daemon has hung up
            if not self._buffer and not self._readable():
                raise
        while True:
            messages = take_messages(self._buffer)
            if messages:
                return messages[0]
            self._wait(deadline)
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                raise EOFError
            self._buffer += chunk

    def close(self) -> None:
        self._socket.close()

    def __del__(self) -> None:
        # a client that goes out of use takes its idle connections along
        if hasattr(self, "_socket"):
            self._socket.close()

    def _readable(self) -> bool:
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


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

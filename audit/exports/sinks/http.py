"""HTTP POST with an answer that counts: 2xx is the acknowledgement, everything else is "refused" or "later".

A receiver that finds fault with what it was sent (400, 409, 413, 422) refuses records. Any other answer (a login page,
401, 404, 500, a redirect) says something about the receiver or about our configuration: the same is sent again later,
for ever, since an expired token must not empty the log into the dead-letter file.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from audit.exports.message import Message
from audit.exports.sinks import Refusal, SinkUnavailable
from audit.exports.sinks.tls import TlsFiles, client_context, why

RECORD_FAULTS = frozenset({400, 409, 413, 422})
_MAX_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True)
class Dialect:
    """How a format goes over HTTP: the body of several messages, and what an answer says about each."""

    content_type: str
    pack: Callable[[Sequence[Message]], bytes]
    read_answer: Callable[[bytes, str, Sequence[Message]], list[Refusal]]


def accept_any_answer(body: bytes, content_type: str, messages: Sequence[Message]) -> list[Refusal]:
    """For receivers whose status says it all."""
    return []


class HttpSink:
    """POSTs to one URL over a kept connection."""

    rewind = 0

    def __init__(
        self, url: str, dialect: Dialect, files: TlsFiles, *, timeout: float, token_file: Path | None = None
    ) -> None:
        self._url = urlsplit(url)
        self._dialect = dialect
        self._files = files
        self._timeout = timeout
        self._token_file = token_file
        self._connection: http.client.HTTPConnection | None = None

    def send(self, messages: Sequence[Message]) -> list[Refusal]:
        """One POST."""
        status, retry_after, content_type, answer = self._post(self._dialect.pack(messages))
        if 200 <= status < 300:
            return self._dialect.read_answer(answer, content_type, messages)
        if status in RECORD_FAULTS:
            return [Refusal(message.index, f"The receiver answered {status}.") for message in messages]
        raise SinkUnavailable(f"The receiver answered {status}; {_ADVICE.get(status, 'see its own log')}.", retry_after)

    def check(self) -> None:
        """A connection lost between requests loses nothing."""

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes) -> tuple[int, float | None, str, bytes]:
        reused = self._connection is not None
        try:
            return self._attempt(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not (
                reused and isinstance(error, (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError))
            ):
                raise SinkUnavailable(f"The receiver cannot be reached: {why(error)}.") from error
        # the receiver closed a connection that had been idle; a fresh one tells whether it is there
        try:
            return self._attempt(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise SinkUnavailable(f"The receiver cannot be reached: {why(error)}.") from error

    def _attempt(self, body: bytes) -> tuple[int, float | None, str, bytes]:
        if self._connection is None:
            opened = self._connect()
            opened.connect()
            self._connection = opened
        connection = self._connection
        # a receiver that drips single bytes never meets a socket's own time limit: this one ends the whole exchange
        expired = threading.Event()
        limit = threading.Timer(self._timeout, _shut, [connection.sock, expired])
        limit.daemon = True
        limit.start()
        try:
            path = self._url.path or "/"
            connection.request("POST", f"{path}?{self._url.query}" if self._url.query else path, body, self._headers())
            response = connection.getresponse()
            answer = response.read(_MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise (TimeoutError() if expired.is_set() else error) from error
        finally:
            limit.cancel()
        if expired.is_set():
            raise TimeoutError  # an answer without length ends where the connection ends: it may be half of one
        if len(answer) > _MAX_ANSWER or response.will_close:
            self.close()
        content_type = response.headers.get_content_type()
        return response.status, _seconds(response.headers.get("Retry-After")), content_type, answer

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": self._dialect.content_type, "User-Agent": "enclave-audit-export"}
        if self._token_file is not None:
            try:
                headers["Authorization"] = f"Bearer {read_token(self._token_file)}"
            except OSError as error:
                raise SinkUnavailable(f"The token file cannot be read ({error.strerror}).") from error
        return headers

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=client_context(self._files))


_ADVICE = {
    401: "see that the token file holds a valid token",
    403: "see that the token may write there",
    404: "see that the address in the configuration is right",
    429: "it asks for patience",
}


def check_url(url: str) -> SplitResult:
    """Raise ValueError unless ``url`` is https, or http to this machine's loopback, and holds no password."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("Expected an address without user and password; name a token_file instead.")
    if parts.scheme == "https" and parts.hostname:
        return parts
    with contextlib.suppress(ValueError):
        if parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback:
            return parts
    raise ValueError("Expected an https:// address (http:// only to a loopback IP address).")


def read_token(path: Path) -> str:
    """The token, read anew for each request so that it can be replaced; raise OSError or :class:`SinkUnavailable`."""
    if path.stat().st_mode & 0o007:
        raise SinkUnavailable("The token file may be read by everyone; expected mode 0640 or 0600.")
    token = path.read_text("ascii", "replace").strip()
    if not token or not token.isprintable():
        raise SinkUnavailable("The token file does not hold one line of printable text.")
    return token


def _shut(connected: socket.socket, expired: threading.Event) -> None:
    expired.set()
    # below TLS: its own shutdown would change the object under the thread that reads
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _seconds(value: str | None) -> float | None:
    """Retry-After as seconds; a date is left to our own back-off."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else None

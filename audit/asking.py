"""Asking another organisation's server over HTTP, with one deadline for the whole exchange, whatever it does."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

MAX_ANSWER_BYTES = 256 * 1024
REQUEST_SECONDS = 10.0


class AskingFailed(RuntimeError):
    """There was no usable answer; the sentence holds nothing that the other end wrote."""


class Asker:
    """Keeps one connection to ``url`` (http or https, a path prefix allowed). Not for several threads at a time."""

    def __init__(self, url: str, seconds: float = REQUEST_SECONDS) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise AskingFailed(
                "Expected a URL with a port number from 0 to 65535, such as https://example.org/x."
            ) from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
            raise AskingFailed("Expected a URL that begins with http:// or https:// and names a host.")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, port, timeout=seconds)
        self._seconds = seconds
        self.path = parts.path + (f"?{parts.query}" if parts.query else "")

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer; raise :class:`AskingFailed`. Redirections are not followed."""
        fresh = self._connection.sock is None
        try:
            with self._deadline():
                return self._exchange(method, path, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if fresh:
                raise AskingFailed("The connection was closed without an answer.") from error
        except (http.client.HTTPException, OSError, UnicodeError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise AskingFailed(f"There was no usable answer ({reason}).") from error
        # the connection kept from last time was closed in between, which is no fault: once more on a new one
        return self.ask(method, path, body, headers)

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, path, body=body, headers=dict(headers))
        response = self._connection.getresponse()
        answer = response.read(MAX_ANSWER_BYTES + 1)
        if len(answer) > MAX_ANSWER_BYTES or response.read(1):
            raise OSError(0, f"more than {MAX_ANSWER_BYTES} bytes")
        if response.length:
            raise OSError(0, "cut short")
        return response.status, answer

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """A time-out on each read would let somebody who sends one byte at a time hold on for hours."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            taken = self._connection.sock
            if taken is not None:
                with contextlib.suppress(OSError):
                    taken.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (http.client.HTTPException, OSError) as error:
            if expired.is_set():
                raise TimeoutError(0, f"not complete within {self._seconds:g} s") from error
            raise
        finally:
            timer.cancel()

"""Syslog over TLS (RFC 5425), octet counting.

Syslog acknowledges nothing, so "at least once" means here: a batch counts as delivered when the receiver's kernel has
acknowledged every byte (``TIOCOUTQ`` is 0) and the connection still stands. What a receiver loses after that, by dying
with unread bytes, is covered by sending the last ``rewind`` records again after each lost connection and each start.
The receiver drops what it got twice by the leaf hash.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence

from audit.exports.message import Message
from audit.exports.sinks import Refusal, SinkUnavailable
from audit.exports.sinks.tls import TlsFiles, client_context, why

DEFAULT_PORT = 6514
_SEND_BUFFER = 128 * 1024
"""Small on purpose: what lies in our own kernel is unknown to the receiver."""


class SyslogSink:
    """One TLS connection, opened when needed and kept."""

    def __init__(self, host: str, port: int, files: TlsFiles, *, timeout: float, rewind: int) -> None:
        self.rewind = rewind
        self._address = (host, port)
        self._files = files
        self._timeout = timeout
        self._connection: ssl.SSLSocket | None = None

    def send(self, messages: Sequence[Message]) -> list[Refusal]:
        """Send and wait until every byte is acknowledged by the peer's kernel."""
        deadline = time.monotonic() + self._timeout
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.settimeout(self._timeout)
            self._connection.sendall(b"".join(message.body for message in messages))
            self._wait_acknowledged(self._connection, deadline)
            self._check_open(self._connection)
        except (OSError, EOFError) as error:
            self._drop()
            raise SinkUnavailable(f"The syslog receiver cannot be reached: {why(error)}.") from error
        return []

    def check(self) -> None:
        """Notice a connection the receiver closed while there was nothing to send."""
        if self._connection is None:
            return
        try:
            self._check_open(self._connection)
        except (OSError, EOFError) as error:
            self._drop()
            raise SinkUnavailable("The syslog receiver closed the connection.") from error

    def close(self) -> None:
        """Send close_notify (RFC 5425, section 4.4) and close."""
        if self._connection is not None:
            with contextlib.suppress(OSError, ValueError):
                self._connection.settimeout(1.0)
                self._connection.unwrap()
        self._drop()

    def _connect(self) -> ssl.SSLSocket:
        context = client_context(self._files)
        plain = socket.create_connection(self._address, self._timeout)
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return context.wrap_socket(plain, server_hostname=self._address[0])
        except BaseException:
            plain.close()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _wait_acknowledged(connection: ssl.SSLSocket, deadline: float) -> None:
        pause = 0.0005
        while struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    @staticmethod
    def _check_open(connection: ssl.SSLSocket) -> None:
        """A receiver has nothing to say to us: anything but silence is the end of the connection, or its alert."""
        connection.settimeout(0.0)
        try:
            if not connection.recv(1):
                raise EOFError
        except (ssl.SSLWantReadError, BlockingIOError):
            return

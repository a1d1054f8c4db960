"""Asking a server that may be slow, broken or hostile: one deadline, and words instead of its bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from audit.asking import MAX_ANSWER_BYTES, Asker, AskingFailed

Script = list[Callable[[socket.socket], None]]


class ScriptedServer:
    """Each connection gets the next step of the script; a request is read before the step runs."""

    def __init__(self) -> None:
        self.script: Script = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/prefix"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if not self.script:
                    return
                connection.settimeout(5)
                connection.recv(65536)
                try:
                    self.script.pop(0)(connection)
                except OSError:
                    continue

    def close(self) -> None:
        self.script.clear()
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(60)
        self._listener.close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    made = ScriptedServer()
    yield made
    made.close()


def answering(raw: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(raw)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):  # 50 s, unless the other side hangs up
        connection.sendall(b"x")
        time.sleep(0.05)


def ask(server: ScriptedServer, seconds: float = 5) -> tuple[int, bytes]:
    asker = Asker(server.url, seconds)
    try:
        return asker.ask("GET", asker.path, None, {})
    finally:
        asker.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    ],
)
def test_every_way_to_end_a_body(server: ScriptedServer, raw: bytes) -> None:
    server.script.append(answering(raw))
    assert ask(server) == (200, b"hello")


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "closed without an answer"),
        (b"SSH-2.0-x\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhe", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "HTTPException"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_ANSWER_BYTES + 1), f"more than {MAX_ANSWER_BYTES} bytes"),
    ],
)
def test_broken_answers(server: ScriptedServer, raw: bytes, found: str) -> None:
    server.script.append(answering(raw))
    with pytest.raises(AskingFailed, match=found):
        ask(server)


def test_one_byte_at_a_time_ends_at_the_deadline(server: ScriptedServer) -> None:
    server.script.append(drip)
    with pytest.raises(AskingFailed, match=r"not complete within 0\.5 s"):
        ask(server, 0.5)


def test_a_connection_closed_in_between_is_opened_again(server: ScriptedServer) -> None:
    server.script += [answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + body) for body in (b"1", b"2")]
    asker = Asker(server.url)
    assert asker.ask("GET", "/", None, {}) == (200, b"1")
    assert asker.ask("POST", "/", b"body", {}) == (200, b"2")
    asker.close()


@pytest.mark.parametrize(
    "url", ["", "ftp://x/", "http://", "http://u@x/", "http://x:99999/", "http://[::1/", "x.example"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(AskingFailed):
        Asker(url)

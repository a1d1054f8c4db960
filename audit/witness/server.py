"""The witness over HTTP/1.1 with keep-alive: ``POST /add-checkpoint`` and ``GET /<origin hash>/checkpoint``.

Every request has a deadline and connections are counted, so that slow or idle clients cannot hold the witness up. No
TLS here: a reverse proxy in front does that, and may strip a path prefix.
"""

from __future__ import annotations

import contextlib
import io
import re
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from audit.note import NoteError, VerifierKey
from audit.witness.messages import MAX_BODY_BYTES
from audit.witness.service import Answer, Witness, operator_log, refuse
from audit.witness.state import KEY_KINDS, WitnessRefused, WitnessState, load_keys

REQUEST_SECONDS = 10.0
IDLE_SECONDS = 75.0
MAX_CONNECTIONS = 128
_CHECKPOINT_PATH = re.compile(r"/([0-9a-f]{64})/checkpoint", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)


class DeadlineReader(io.RawIOBase):
    """Reads a socket; from the first byte of a request on, the whole request must arrive before its deadline."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline: float | None = None

    def begin(self) -> None:
        """Wait for a new request from here on."""
        self._deadline = None

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there; raise TimeoutError after the deadline."""
        remaining = IDLE_SECONDS if self._deadline is None else self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        count = self._connection.recv_into(buffer)
        if self._deadline is None:
            self._deadline = time.monotonic() + REQUEST_SECONDS
        self._connection.settimeout(REQUEST_SECONDS)
        return count


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "enclave-witness"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = REQUEST_SECONDS
    wbufsize = -1
    server: WitnessServer

    def setup(self) -> None:
        """Read through the deadline."""
        super().setup()
        self._reader = DeadlineReader(self.connection)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        """One request; whatever the client breaks ends only its own connection."""
        self._reader.begin()
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def do_POST(self) -> None:
        """``add-checkpoint``."""
        body = self._body()
        if body is None:
            return
        if self.path != "/add-checkpoint":
            self._send(refuse(404, "Expected POST /add-checkpoint."))
            return
        try:
            answer = self.server.witness.add_checkpoint(body)
        except (WitnessRefused, NoteError, OSError) as error:
            operator_log("request-failed", reason=str(error))
            answer = refuse(500, "The witness cannot read or keep its state; its operator finds the reason in its log.")
        self._send(answer)

    def do_GET(self) -> None:
        """The newest cosigned checkpoint of a log."""
        match = _CHECKPOINT_PATH.fullmatch(self.path)
        if match is None:
            self._send(refuse(404, "Expected GET /<SHA-256 of the origin in hex>/checkpoint."))
            return
        try:
            self._send(self.server.witness.latest(match[1]))
        except OSError as error:
            operator_log("request-failed", reason=str(error))
            self._send(refuse(500, "The witness cannot read its state."))

    def _body(self) -> bytes | None:
        lengths = self.headers.get_all("Content-Length", [])
        if self.headers.get("Transfer-Encoding") or len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
            self._refuse_body(411, "Expected one Content-Length header and no transfer encoding.")
            return None
        if int(lengths[0]) > MAX_BODY_BYTES:
            self._refuse_body(413, f"Expected a body of at most {MAX_BODY_BYTES} bytes.")
            return None
        body = self.rfile.read(int(lengths[0]))
        if len(body) < int(lengths[0]):
            self.close_connection = True
            return None
        return body

    def _refuse_body(self, status: int, sentence: str) -> None:
        # the body was not read, so the connection cannot be used again
        self.close_connection = True
        self._send(refuse(status, sentence))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Requests are not logged; suspicions and failures are."""


class WitnessServer(ThreadingHTTPServer):
    """Listens on construction; ``serve_forever`` serves."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.witness = witness
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread of its own, unless too many are at it."""
        if not self._free.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the place back at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A fault while serving one client is logged and ends that connection only."""
        operator_log("connection-failed")


def run(state_dir: Path, listen: tuple[str, int], logs: list[VerifierKey], kinds: tuple[str, ...]) -> None:
    """Serve until SIGTERM or SIGINT; raise :class:`WitnessRefused` or OSError."""
    keys = load_keys(state_dir, KEY_KINDS)
    cosigners = [cosigner for cosigner in keys if cosigner.key.kind_name in kinds]
    state = WitnessState(state_dir, keys)
    try:
        for origin in sorted({key.name for key in logs}):
            state.newest(origin)
        with WitnessServer(listen, Witness(state, cosigners, logs)) as server:
            for number in (signal.SIGTERM, signal.SIGINT):
                # shutdown() waits for the loop, which this thread runs: hence a thread of its own
                signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
            host, port = server.server_address[:2]
            operator_log("listening", host=str(host), port=port, logs=sorted({key.name for key in logs}))
            server.serve_forever()
    finally:
        state.close()

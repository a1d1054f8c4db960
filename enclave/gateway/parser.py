"""DuckDB's parser in a process of its own: text in, tree as JSON out. It parses and does nothing else.

Why not inside the front: some texts take the parser exponential time (thousands of opening parentheses after FROM,
measured), and no interrupt reaches it there. So each project has a parser process in the sandbox, without any file of
ours but the program, that is killed after ``PARSE_SECONDS`` and started again.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time

import duckdb

from enclave.gateway.frames import PARSE, TREE, BrokenFrameError, receive_frame, send_frame, until
from enclave.gateway.gate import StatementRefusedError
from enclave.sandbox import SandboxError, SandboxProfile, popen, python_binds

PARSE_SECONDS = 3.0
START_SECONDS = 20.0
_MEMORY_MB = 3072
_QUERY = "SELECT json_serialize_sql(?)"


class StatementParser:
    """Front side. ``parse`` is thread-safe; one text at a time per project."""

    def __init__(self, uid: int) -> None:
        self._uid = uid
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: socket.socket | None = None

    def parse(self, sql: str) -> str:
        """The parser's JSON for ``sql``.

        Raises StatementRefusedError when it takes too long or breaks the parser, and when none can be started.
        """
        with self._lock:
            fresh = self._process is None or self._process.poll() is not None
            try:
                peer = self._start() if fresh or self._peer is None else self._peer
            except (SandboxError, OSError) as error:
                raise StatementRefusedError(
                    "parser", "The statement parser cannot be started. Tell the administrator: run `enclave doctor`."
                ) from error
            ends_at = time.monotonic() + PARSE_SECONDS + (START_SECONDS if fresh else 0)
            try:
                send_frame(peer, PARSE, sql.encode("utf-8", errors="replace"))
                frame = receive_frame(peer, until(ends_at))
            except (OSError, TimeoutError) as error:
                self._stop()
                raise StatementRefusedError(
                    "parser", f"This statement could not be parsed within {PARSE_SECONDS:.0f} seconds. Simplify it."
                ) from error
            if frame is None or frame[0] != TREE:
                self._stop()
                raise StatementRefusedError("parser", "This statement could not be parsed. Simplify it.")
            return frame[1].decode()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _start(self) -> socket.socket:
        self._stop()
        ours, theirs = socket.socketpair()
        profile = SandboxProfile(
            binds=python_binds(),
            uid=self._uid,
            memory_mb=_MEMORY_MB,
            processes=512,  # counted per uid, which the worker shares
            files_mb=0,
            tmp_mb=1,
            pass_fds=(theirs.fileno(),),
        )
        argv = [sys.executable, "-I", "-m", "enclave.gateway.parser", str(theirs.fileno())]
        nowhere = subprocess.DEVNULL
        try:
            with theirs:
                self._process = popen(profile, argv, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        except BaseException:
            ours.close()
            raise
        self._peer = ours
        return ours

    def _stop(self) -> None:
        if self._peer is not None:
            self._peer.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait(timeout=10)
        self._process = self._peer = None


def serve(peer: socket.socket) -> None:
    """Child side: answer until the front hangs up."""
    connection = duckdb.connect(
        config={"threads": 1, "autoload_known_extensions": False, "autoinstall_known_extensions": False}
    )
    while (frame := receive_frame(peer)) is not None:
        try:
            row = connection.execute(_QUERY, [frame[1].decode()]).fetchone()
            tree = str(row[0]) if row else ""
        except duckdb.Error as error:
            tree = json.dumps({"error": True, "error_type": type(error).__name__})
        send_frame(peer, TREE, tree.encode())


if __name__ == "__main__":
    with contextlib.suppress(BrokenFrameError, BrokenPipeError):
        serve(socket.socket(fileno=int(sys.argv[1])))

"""All workers of the front: one per project, started on demand, replaced when dead, stopped after ten idle minutes."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from enclave.domain.ids import ProjectId
from enclave.gateway.frames import DONE, QUERY, receive_frame, send_frame
from enclave.gateway.parser import StatementParser
from enclave.gateway.worker_process import FIRST_UID, WorkerPlan, WorkerProcess, WorkerUnavailableError
from enclave.gateway.worker_stream import QueryFailedError, WorkerRequest, WorkerStream

IDLE_SECONDS = 600.0
MAXIMUM_STREAMS = 16
"""Running queries per project: a stalled reader holds about 85 MB (measured)."""
_SCHEMA_SECONDS = 30.0


class ProjectWorker:
    """The worker and the parser of one project. Thread-safe."""

    def __init__(
        self, project: ProjectId, socket_path: Path, uid: int, on_restart: Callable[[ProjectId], None]
    ) -> None:
        self._project = project
        self._socket_path = socket_path
        self._uid = uid
        self._on_restart = on_restart
        self._lock = threading.Lock()
        self._process: WorkerProcess | None = None
        self._streams = 0
        self._used_at = time.monotonic()
        self.parser = StatementParser(uid)

    def open_stream(self, folder: Path, request: WorkerRequest, is_cancelled: Callable[[], bool]) -> WorkerStream:
        """Send a query to the worker, starting it when needed. Raises QueryFailedError."""
        process, peer = self._connect(folder)
        return WorkerStream(peer, request, is_cancelled, process.kill)

    def table_schemas(self, folder: Path) -> dict[str, pa.Schema]:
        """Arrow schema of each table. Raises QueryFailedError."""
        _, peer = self._connect(folder)
        ends_at = time.monotonic() + _SCHEMA_SECONDS

        def check() -> None:
            if time.monotonic() > ends_at:
                raise TimeoutError

        with peer:
            try:
                send_frame(peer, QUERY, json.dumps({"tables": True}).encode())
                frame = receive_frame(peer, check)
            except OSError:
                frame = None
        if frame is None or frame[0] != DONE:
            raise QueryFailedError("error", "The project's worker does not answer. Try again.")
        return {
            name: pa.ipc.read_schema(pa.py_buffer(base64.b64decode(raw))) for name, raw in json.loads(frame[1]).items()
        }

    def enter(self) -> None:
        """Count one more running query. Raises QueryFailedError when there are too many."""
        with self._lock:
            if self._streams >= MAXIMUM_STREAMS:
                raise QueryFailedError(
                    "cap", f"This project already runs {MAXIMUM_STREAMS} queries. Wait until one has ended."
                )
            self._streams += 1

    def leave(self) -> None:
        """Count one query less."""
        with self._lock:
            self._streams -= 1
            self._used_at = time.monotonic()

    def stop_if_idle(self, now: float) -> None:
        """Stop worker and parser when nothing ran for IDLE_SECONDS."""
        if not self._lock.acquire(blocking=False):
            return  # it is being used or started right now
        try:
            idle = self._streams == 0 and now - self._used_at > IDLE_SECONDS
            if idle and self._process is not None:
                self._process.kill()
                self._process = None
        finally:
            self._lock.release()
        if idle:
            self.parser.close()

    def stop(self) -> None:
        """End both processes."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process = None
        self.parser.close()

    def _connect(self, folder: Path) -> tuple[WorkerProcess, socket.socket]:
        for _ in range(2):
            process = self._running(folder)
            try:
                return process, process.connect()
            except OSError:
                process.kill()
        raise QueryFailedError("error", "The project's worker does not stay up. Tell the administrator.")

    def _running(self, folder: Path) -> WorkerProcess:
        with self._lock:
            self._used_at = time.monotonic()
            process = self._process
            if process is not None and process.is_running() and process.plan.folder == folder:
                return process
            if process is not None:
                died = not process.is_running()
                process.kill()
                self._process = None
                if died:
                    self._on_restart(self._project)
            try:
                self._process = WorkerProcess.start(WorkerPlan(folder, self._socket_path, self._uid))
            except WorkerUnavailableError as error:
                raise QueryFailedError("error", str(error)) from error
            return self._process


class WorkerPool:
    """``project(id)`` gives that project's worker; uids are handed out in order of first use."""

    def __init__(self, run_dir: Path, on_restart: Callable[[ProjectId], None]) -> None:
        self._folder = run_dir / "gw"
        self._on_restart = on_restart
        self._lock = threading.Lock()
        self._workers: dict[ProjectId, ProjectWorker] = {}

    def project(self, project: ProjectId) -> ProjectWorker:
        with self._lock:
            if project not in self._workers:
                path = self._folder / project / "worker.sock"
                uid = FIRST_UID + len(self._workers)
                self._workers[project] = ProjectWorker(project, path, uid, self._on_restart)
            return self._workers[project]

    def stop_idle(self) -> None:
        """Call about once a second."""
        now = time.monotonic()
        for worker in self._all():
            worker.stop_if_idle(now)

    def close(self) -> None:
        """End every process."""
        for worker in self._all():
            worker.stop()

    def _all(self) -> list[ProjectWorker]:
        with self._lock:
            return list(self._workers.values())

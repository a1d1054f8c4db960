"""Which uid the workers of a project have: handed out once, the same at every front and after every restart.

A person's scratch file belongs to that uid, so two fronts that disagreed would take it from under each other's worker.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import structlog

from enclave.domain.ids import ProjectId
from enclave.gateway.shared_files import locked
from enclave.gateway.worker_process import FIRST_UID
from enclave.gateway.worker_stream import QueryFailedError

_log = structlog.get_logger()


class WorkerUids:
    """``register``: the shared file. Thread-safe."""

    def __init__(self, register: Path) -> None:
        self._register = register
        self._lock = threading.Lock()

    def uid(self, project: ProjectId) -> int:
        """Raises QueryFailedError when the register cannot be used: a guessed uid could be another project's."""
        try:
            with self._lock, locked(self._register) as file:
                content = file.read()
                known: dict[str, int] = json.loads(content) if content else {}
                if project not in known:
                    known[project] = max(known.values(), default=FIRST_UID - 1) + 1
                    file.write(json.dumps(known).encode())
                return known[project]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            _log.error("worker-uids-unusable", file=self._register.name, kind=type(error).__name__)
            raise QueryFailedError(
                "error",
                "The register of the workers' accounts cannot be used, so no query can run. Tell the administrator.",
            ) from error

"""Processes that a killed supervisor left ending: a new one waits for them before it starts theirs anew."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

from enclave.process_table import has_ended


def _is_ours(pid: int) -> bool:
    """Is ``pid`` alive and one of the enclave's services (process ids are reused)?"""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return not has_ended(pid) and any(a.startswith((b"enclave.", b"audit.")) or b"jupyterhub" in a for a in arguments)


def await_predecessors(state_file: Path, seconds: float = 10.0) -> None:
    """A killed supervisor's children get SIGTERM from the kernel; wait until they are gone, then kill what is left.

    Starting beside them would let an ending process remove the socket of its successor.
    """
    try:
        pids = [int(pid) for pid in json.loads(state_file.read_text())["services"].values()]
    except (OSError, ValueError, KeyError):
        return
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if _is_ours(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

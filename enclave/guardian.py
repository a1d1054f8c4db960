"""The parent of the supervisor: brings the supervisor back if it is killed, and takes it down when told to stop.

Chain of life: the process that asked for the enclave (``enclave demo``) → guardian → supervisor → services. Each link
dies with the one before it (``setpriv --pdeathsig``), so an interrupted run leaves no process behind. With ``--keep``
the guardian is cut loose by SIGUSR1 once the journey went well, and ``enclave demo --stop`` ends it through
``guardian.pid``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from types import FrameType

import structlog

from enclave.files import write_atomically
from enclave.logs import configure
from enclave.settings import Settings, get_settings
from enclave.supervisor import StopSignal

log = structlog.get_logger()


def _start_supervisor() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "enclave.supervisor"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _cut_loose(number: int, frame: FrameType | None) -> None:
    """Outlive the process that started us: clear the parent-death signal (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, 0)


_PR_SET_PDEATHSIG = 1


def guard(settings: Settings, stop: StopSignal) -> int:
    """Run until told to stop. Returns the supervisor's exit code when it refuses to start."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGUSR1, _cut_loose)
    pid_file = settings.root / "guardian.pid"
    write_atomically(pid_file, str(os.getpid()).encode())
    process = _start_supervisor()
    try:
        while not stop():
            code = process.poll()
            if code is not None and code >= 0:
                return code
            if code is not None:
                log.warning("supervisor-killed", signal=-code)
                process = _start_supervisor()
            time.sleep(0.1)
        return 0
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        pid_file.unlink(missing_ok=True)


def main() -> int:
    """``python -m enclave.guardian``."""
    configure("guardian")
    return guard(get_settings(), StopSignal())


if __name__ == "__main__":
    raise SystemExit(main())

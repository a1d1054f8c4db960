"""A real audit daemon in a folder of its own, for the integration and security tests."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from audit.client import AuditClient
from audit.event import AuditEvent

ORIGIN = "log.example.test/enclave"
DEADLINE_SECONDS = 60
DAEMON = ("-m", "audit.daemon")
UNSAFE_KEEPS_NO_YEAR = (str(Path(__file__).with_name("unsafe_keeps_no_year.py")),)
"""A daemon that prunes what is younger than a year: nobody can wait for one in a test."""


class RunningLog:
    """Start, stop, kill and start again the same log."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
        self.home.chmod(0o755)
        self.socket = self.home / "audit.sock"
        self.log_dir = self.home / "log"
        self.state_dir = self.home / "state"
        self.errors = self.home / "daemon.err"
        self.process: subprocess.Popen[bytes] | None = None
        self.program: tuple[str, ...] = DAEMON

    @property
    def vkey(self) -> str:
        return (self.state_dir / "log.vkey").read_text().strip()

    @property
    def segments(self) -> list[Path]:
        return sorted((self.state_dir / "wal").iterdir())

    def command(self, *more: str) -> list[str]:
        return [sys.executable, *self.program, *self.arguments(*more)]

    def arguments(self, *more: str) -> list[str]:
        places = ["--socket", str(self.socket), "--log", str(self.log_dir), "--state", str(self.state_dir)]
        # no records about its own life unless a test asks for them: indexes then count the test's own records
        quiet = [] if "--heartbeat-seconds" in more else ["--heartbeat-seconds", "0"]
        return [*places, "--origin", ORIGIN, *quiet, *more]

    def start(self, *more: str) -> RunningLog:
        self.socket.unlink(missing_ok=True)
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(self.command(*more), stderr=errors, stdin=subprocess.DEVNULL)
        wait_until(lambda: self.socket.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.errors.read_text()
        return self

    def refuse_start(self, *more: str) -> str:
        """Start where a refusal is expected; return what the daemon said."""
        done = subprocess.run(self.command(*more), capture_output=True, timeout=DEADLINE_SECONDS, check=False)
        assert done.returncode == 3, done.stderr
        return done.stderr.decode()

    def client(self, writer: str = "test") -> AuditClient:
        return AuditClient(self.socket, writer)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.home)


def event(number: int = 0, **fields: object) -> AuditEvent:
    """A plausible record."""
    return AuditEvent(**{"type": "query:intent", "actor": "u-1", "project": "p-1", "counts": {"n": number}, **fields})


def wait_until(condition, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait on a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.01)

"""A real witness process in a folder of its own, and clients that speak to it byte by byte."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from running_log import DEADLINE_SECONDS, wait_until

CLI = [sys.executable, "-m", "audit.cli"]


class RunningWitness:
    """``start`` with the verifier keys of the logs it is to know; the port stays the same after the first start."""

    def __init__(self, name: str = "witness.example.test/w1") -> None:
        self.home = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
        self.state = self.home / "state"
        self.errors = self.home / "witness.err"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        command = [*CLI, "witness", "init", "--name", name, "--state", str(self.state)]
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=True)
        self.vkeys = done.stdout.decode().split("\n")[:-1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.errors.read_text().splitlines() if line.endswith("}")]

    @property
    def evidence(self) -> list[dict[str, str]]:
        return [json.loads(path.read_text()) for path in sorted((self.state / "evidence").iterdir())]

    def start(self, *vkeys: str, more: tuple[str, ...] = ()) -> RunningWitness:
        options = [word for vkey in vkeys for word in ("--log", vkey)]
        command = [*CLI, "witness", "run", "--state", str(self.state), "--listen", f"127.0.0.1:{self.port}", *options]
        before = len(self.lines) if self.errors.exists() else 0
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen([*command, *more], stderr=errors, stdin=subprocess.DEVNULL)
        wait_until(lambda: self.process.poll() is not None or any("port" in x for x in self.lines[before:]))
        assert self.process.poll() is None, self.errors.read_text()
        self.port = next(int(str(line["port"])) for line in self.lines[before:] if "port" in line)
        return self

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, str]:
        """Status, body and content type of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("Content-Type", "")
        finally:
            connection.close()

    def refuse_start(self, *more: str) -> str:
        """Start where a refusal is expected; return what the witness said."""
        command = [*CLI, "witness", "run", "--state", str(self.state), "--listen", "127.0.0.1:0", *more]
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=False)
        assert done.returncode == 2, done.stderr
        return done.stderr.decode()

    def add(self, body: bytes) -> tuple[int, bytes, str]:
        return self.ask("POST", "/add-checkpoint", body)

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

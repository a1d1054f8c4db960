"""In the server's place: run the probes there, then have the host start kernels, as a Jupyter server would.

One kernel only waits, so that there is another one to look for; in the second one the probes run, and then those that
matter most in a terminal, typed into its shell. The descriptors that a server is given (listening socket, channel to
the host) stay open meanwhile.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from . import CATALOGUE, inherited, run
from .model import CLOSED, ERROR, TERMINAL, Targets

_IDLE = "import time; time.sleep(600)"
_POLL_SECONDS = 0.2
_START_SECONDS = 60.0


class Channel:
    """The host's end answers each request with a dictionary."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))

    def ask(self, action: str, kernel: str, **more: Any) -> dict[str, Any]:
        """Raises RuntimeError with the host's sentence."""
        self._socket.send(json.dumps({"do": action, "kernel": kernel, **more}).encode())
        answer: dict[str, Any] = json.loads(self._socket.recv(1 << 17))
        if "problem" in answer:
            raise RuntimeError(answer["problem"])
        return answer


def main(arguments: list[str]) -> int:
    """``TARGETS FOLDER KERNEL OTHER_KERNEL MARK``: writes ``server.json``, ``kernel.json``, ``terminal.json``
    and ``own-kernel.json`` into FOLDER."""
    inherited.note_descriptors()
    targets_file, folder, kernel, other, _ = arguments
    targets = json.loads(Path(targets_file).read_text())
    meant = [int(os.environ[name]) for name in ("ENCLAVE_LISTEN_FD", "ENCLAVE_HOST_FD")]
    Path(targets["scratch"]).mkdir(parents=True, exist_ok=True)
    run.write_results(run.run_all({**targets, "meant_descriptors": meant}, "server"), f"{folder}/server.json")
    channel = Channel(meant[1])
    found = _in_a_kernel_of_its_own(channel, targets, targets_file, folder)
    run.write_results(found, f"{folder}/own-kernel.json")
    python = sys.executable
    _start(channel, other, [python, "-c", _IDLE])
    _in_a_terminal(channel, targets, targets_file, folder)
    _start(channel, kernel, [python, sys.argv[0], targets_file, f"{folder}/kernel.json", "kernel"])
    while channel.ask("poll", kernel)["code"] is None:
        time.sleep(_POLL_SECONDS)
    return 0


def _in_a_kernel_of_its_own(channel: Channel, targets: Targets, targets_file: str, folder: str) -> dict[str, list[str]]:
    """What ends the kernel it runs in: that it did is the outcome. What it left is deleted, as a researcher would."""
    kernel, results = str(uuid.uuid4()), Path(folder) / "own-kernel.json"
    _start(channel, kernel, [sys.executable, sys.argv[0], targets_file, str(results), run.ALONE])
    while (code := channel.ask("poll", kernel)["code"]) is None:
        time.sleep(_POLL_SECONDS)
    if results.exists():
        written: dict[str, list[str]] = json.loads(results.read_text())
        return written
    shutil.rmtree(str(targets["scratch"]))
    Path(str(targets["scratch"])).mkdir()
    state, detail = (CLOSED, "its kernel was ended") if code < 0 else (ERROR, f"its kernel ended with code {code}")
    return {probe.id: [state, detail] for probe in CATALOGUE if probe.alone}


def _in_a_terminal(channel: Channel, targets: Targets, targets_file: str, folder: str) -> None:
    """A shell in a sandbox of its own; it becomes the runner, and the terminal ends with it."""
    terminal = str(uuid.uuid4())
    path = f"{targets['kernels_folder']}/{terminal}/t"
    _start(channel, terminal, [sys.executable, "-I", "-S", str(targets["terminal_program"]), path])
    words = [sys.executable, sys.argv[0], targets_file, f"{folder}/{TERMINAL}.json", TERMINAL]
    ends = time.monotonic() + _START_SECONDS
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as window:
        while True:
            try:
                window.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > ends:
                    raise
                time.sleep(_POLL_SECONDS)
        window.send(f"iexec {shlex.join(words)}\n".encode())
        while window.recv(1 << 16):
            pass


def _start(channel: Channel, kernel: str, argv: list[str]) -> None:
    """As soon as kernels may start (again). Raises RuntimeError with the host's sentence."""
    ends = time.monotonic() + _START_SECONDS
    while True:
        try:
            channel.ask("prepare", kernel)
            channel.ask("start", kernel, argv=argv, cwd="/tmp")  # noqa: S108
        except RuntimeError:
            if time.monotonic() > ends:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return

"""In the server's place: run the probes there, then have the host start kernels, as a Jupyter server would.

One kernel only waits, so that there is another one to look for; in the second one the probes run. The descriptors that
a server is given (listening socket, channel to the host) stay open meanwhile.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from . import inherited, run

_IDLE = "import time; time.sleep(600)"
_POLL_SECONDS = 0.2


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
    """``TARGETS FOLDER KERNEL OTHER_KERNEL MARK``: writes ``server.json`` and ``kernel.json`` into FOLDER."""
    inherited.note_descriptors()
    targets_file, folder, kernel, other, _ = arguments
    targets = json.loads(Path(targets_file).read_text())
    meant = [int(os.environ[name]) for name in ("ENCLAVE_LISTEN_FD", "ENCLAVE_HOST_FD")]
    Path(targets["scratch"]).mkdir(parents=True, exist_ok=True)
    run.write_results(run.run_all({**targets, "meant_descriptors": meant}, "server"), f"{folder}/server.json")
    channel = Channel(meant[1])
    python = sys.executable
    for one, words in (
        (other, ["-c", _IDLE]),
        (kernel, [sys.argv[0], targets_file, f"{folder}/kernel.json", "kernel"]),
    ):
        channel.ask("prepare", one)
        channel.ask("start", one, argv=[python, *words], cwd="/tmp")  # noqa: S108
    while channel.ask("poll", kernel)["code"] is None:
        time.sleep(_POLL_SECONDS)
    return 0

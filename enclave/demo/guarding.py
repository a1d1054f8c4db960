"""The demo's hold on its guardian: start it, bring it back if it is killed, cut it loose, end it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from enclave.settings import Settings


class Guarded:
    """The guardian process of one demo. It dies with the demo until ``cut_loose``."""

    def __init__(self, settings: Settings) -> None:
        self._output = settings.root / "guardian.log"
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._output.open("ab") as output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "enclave.guardian"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def has_given_up(self) -> bool:
        """It ended by itself, with an exit code; one that was killed by a signal is started again."""
        code = self._process.poll()
        if code is not None and code < 0:
            self._process = self._start()
            return False
        return code is not None

    def last_words(self) -> str:
        """The end of its output, for an error."""
        return "\n".join(self._output.read_text(errors="replace").splitlines()[-8:])

    def cut_loose(self) -> None:
        """Let it outlive this process (``--keep``)."""
        self._process.send_signal(signal.SIGUSR1)

    def end(self) -> None:
        """Stop it and everything below it."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(90)


def find_guardian(root: Path) -> int | None:
    """Process id of the guardian that runs on this home, if one does."""
    try:
        pid = int((root / "guardian.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"enclave.guardian" in command else None

"""The seam between a workspace and what isolates it: an engine starts one sandboxed process from one profile.

Contract: what ``start`` returns runs under the profile and ends with the process that called ``start`` (the workspace
host). ``signal`` reaches the program inside, ``kill`` ends the sandbox with everything in it. Both engines, bubblewrap
here and Docker (``enclave.workspaces.docker_engine``), keep these promises. Non-goal: deciding what a profile contains
(``enclave.workspaces.launch`` does).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Protocol

from enclave.process_table import children, status_words
from enclave.sandbox import Bind, SandboxError, SandboxProfile, popen
from enclave.settings import REPOSITORY, Settings
from enclave.workspaces.host_plan import HostPlan


class Sandboxed(Protocol):
    """One running sandbox. ``pid`` is a process of the host that lives as long as the sandbox."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """None while it runs, then the exit code (negative: the signal)."""

    def signal(self, number: int) -> None:
        """Send a signal to the program inside and its process group; no error when it is gone."""

    def terminate(self) -> None:
        """Ask the program inside to end."""

    def kill(self) -> None:
        """End the sandbox and everything in it."""

    def allow_writing(self, allowed: bool) -> None:
        """Whether files may grow (the disk's limit), for what is not a descendant of the host; no error when gone."""

    def wait(self, timeout: float) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""


class Engine(Protocol):
    """Starts sandboxes."""

    def start(self, profile: SandboxProfile, argv: Sequence[str], log: IO[bytes] | int) -> Sandboxed:
        """Start ``argv`` under ``profile``; its output goes to ``log``. Raises SandboxError."""

    def close(self) -> None:
        """All sandboxes have ended: clear away what was kept for them. Never raises for what is gone."""


def engine_of(plan: HostPlan) -> Engine:
    """The engine a workspace was planned for. Docker's client is loaded only where it is used."""
    if plan.docker is None:
        return BubblewrapEngine()
    from enclave.workspaces.docker_engine import DockerEngine

    return DockerEngine(plan.docker)


def check_engine(settings: Settings) -> None:
    """Before a workspace is started: the engine is there and fit. Raises SandboxError with what to do."""
    if settings.engine == "docker":
        from enclave.workspaces.docker_daemon import check

        check(settings.docker_host, settings.docker_image)


def clear_away(settings: Settings, workspace: str | None = None) -> None:
    """What killed hosts have left: of one workspace, or of the whole enclave. Raises SandboxError."""
    if settings.engine == "docker":
        from enclave.workspaces.docker_daemon import sweep

        sweep(settings.docker_host, settings.root, workspace)


_ONCE_TIED = """\
until grep -qs '^Seccomp:.2' /proc/1/status; do :; done
echo ready >&0 && read -r go && exec "$@" </dev/null
exit 75
"""
"""Goes before the program. ``bwrap --die-with-parent`` ties itself and process 1 one after the other: a host that was
killed in between would leave a sandbox behind. Process 1 is tied before it takes the filter; then we ask the host
whether it lives, over the standard input."""


_INIT = Bind(REPOSITORY / "workspace_images" / "init" / "init.py", Path("/opt/enclave_init/init.py"))
_FIRST = ("/opt/image/bin/python3.11", "-I", "-S", "-B", str(_INIT.target))
"""Process 1 where we are not root; see the program."""


class BubblewrapEngine:
    """One ``bwrap`` per sandbox."""

    def start(self, profile: SandboxProfile, argv: Sequence[str], log: IO[bytes] | int) -> BubblewrapSandbox:
        """See Engine."""
        command = ("/bin/sh", "-c", _ONCE_TIED, "sh", *argv)
        first = () if os.geteuid() == 0 else _FIRST
        if first:
            profile = replace(profile, binds=(*profile.binds, _INIT))
        ours, theirs = socket.socketpair()
        answering = threading.Thread(target=_answer_once, args=(ours,), name="sandbox-start", daemon=True)
        with theirs:
            try:
                answering.start()
            except RuntimeError as error:
                ours.close()
                raise SandboxError(
                    "Expected a free process for a sandbox, found none. End what you can spare."
                ) from error
            streams = {"stdin": theirs.fileno(), "stdout": log, "stderr": log}
            return BubblewrapSandbox(popen(profile, command, first=first, **streams))

    def close(self) -> None:
        """Nothing is kept."""


def _answer_once(ours: socket.socket) -> None:
    """Until the sandbox has asked, or is gone."""
    with ours, suppress(OSError):
        if ours.recv(16):
            ours.send(b"go\n")


class BubblewrapSandbox:
    """``bwrap`` out here → ``bwrap`` (or ``_FIRST``) as process 1 inside → process 2.

    Process 2 is ``setpriv`` as root, then ``prlimit``, then the program.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The outer ``bwrap``."""
        return self._process.pid

    def poll(self) -> int | None:
        """See Sandboxed; ``bwrap`` reports a signal as 128 + number."""
        code = self._process.poll()
        return code if code is None or code <= 128 else 128 - code

    def signal(self, number: int) -> None:
        """Process 1 shares the program's group but ignores what comes from outside, unless it is SIGKILL."""
        if number == signal.SIGKILL:
            self.kill()
            return
        program = find_program(self._process.pid) if self._process.poll() is None else None
        if program is None:
            return
        try:
            os.killpg(os.getpgid(program), number)
        except ProcessLookupError:
            return

    def terminate(self) -> None:
        """See Sandboxed."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Process 1 goes first, and with it everything inside.

        ``--die-with-parent`` alone would not do: a ``bwrap`` that is killed while it starts leaves a process 1 that
        waits for it for ever. Stopped, it can make no other one while we look.
        """
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGSTOP)
        for inside in children(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(inside, signal.SIGKILL)
        self._process.kill()

    def allow_writing(self, allowed: bool) -> None:
        """Its processes are the host's descendants, so the disk watch has reached them."""

    def wait(self, timeout: float) -> int:
        """See Sandboxed."""
        self._process.wait(timeout)
        return self.poll() or 0


def find_program(bwrap: int) -> int | None:
    """The host's number of process 2 in the sandbox of this ``bwrap``; None before it exists and after its end."""
    first = children(bwrap)
    return next((pid for one in first for pid in children(one) if _number_inside(pid) == 2), None)


def _number_inside(pid: int) -> int | None:
    numbers = status_words(pid, "NSpid")
    return int(numbers[-1]) if numbers else None

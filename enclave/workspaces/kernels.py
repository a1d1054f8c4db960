"""Kernels of one workspace, each in a sandbox of its own, started on the Jupyter server's word.

The server is not trusted: it can name a kernel, its command and its folder, all of which only a sandbox sees. What is
mounted, the account, the limits and the environment (an ``LD_PRELOAD`` would run before the privileges are dropped) are
the plan's. Contract of ``answer``: a dictionary in, a dictionary out; ``problem`` holds a sentence when it was refused.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from enclave.files import remove_tree
from enclave.sandbox import Bind, SandboxError, SandboxProfile
from enclave.workspaces.engines import Engine, Sandboxed
from enclave.workspaces.host_plan import INSIDE_IPC, INSIDE_SHARED, HostPlan
from enclave.workspaces.kernel_images import PYTHON
from enclave.workspaces.terminals import PROGRAM

MOST_KERNELS = 32
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST = 4096
_MOST_WORDS = 64
_LARGEST_FILE = 16_384
CONNECTION_FILE = "kernel.json"


class RefusedRequest(Exception):
    """The server asked for something it may not have; the sentence says what."""


class Kernels:
    """See the module."""

    def __init__(self, plan: HostPlan, engine: Engine) -> None:
        self._plan = plan
        self._engine = engine
        self._running: dict[str, Sandboxed] = {}
        self._terminals: set[str] = set()
        self._barred = ""
        self._actions: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
            "prepare": self._prepare,
            "connect": self._connect,
            "start": self._start,
            "poll": self._poll,
            "signal": self._signal,
            "remove": self._remove,
        }

    def answer(self, request: object) -> dict[str, Any]:
        """One request of the server."""
        try:
            if not isinstance(request, dict):
                raise RefusedRequest("Expected a request object, found something else.")
            action = self._actions.get(str(request.get("do")))
            kernel = request.get("kernel")
            if action is None or not isinstance(kernel, str) or not _ID.fullmatch(kernel):
                raise RefusedRequest(f"Expected one of {', '.join(self._actions)} and a kernel's id, found others.")
            return action(kernel, request)
        except (RefusedRequest, SandboxError, OSError) as error:
            return {"problem": str(error)}

    @property
    def is_barred(self) -> bool:
        """No kernel runs and none may start."""
        return bool(self._barred)

    def bar(self, reason: str) -> None:
        """End all kernels and start none, saying ``reason``, until it is called with an empty one."""
        if reason:
            with suppress(subprocess.TimeoutExpired):  # killed; the machine is busy
                self.end_all()
        self._barred = reason

    def end_all(self) -> None:
        """Kill every kernel."""
        for sandbox in self._running.values():
            sandbox.kill()
        for sandbox in self._running.values():
            sandbox.wait(10)

    def reap(self) -> None:
        """Collect what has ended, so that no zombie waits for the server's next question."""
        for sandbox in self._running.values():
            sandbox.poll()

    def sandboxes(self) -> tuple[Sandboxed, ...]:
        """All that were started and not removed since; for another thread."""
        return tuple(self._running.values())

    def terminals(self) -> list[int]:
        """A process of the host for each terminal that runs."""
        return [self._running[name].pid for name in self._terminals if self._is_running(name)]

    def _folder(self, kernel: str) -> Path:
        return self._plan.ipc / kernel

    def _is_running(self, kernel: str) -> bool:
        return kernel in self._running and self._running[kernel].poll() is None

    def _prepare(self, kernel: str, request: dict[str, Any]) -> dict[str, Any]:
        """A fresh folder each time: what the last kernel planted there must not be followed by the server."""
        if self._is_running(kernel):
            raise RefusedRequest("Expected a kernel that has ended, found it running. Shut it down first.")
        self._check_room()
        folder = self._folder(kernel)
        remove_tree(folder)
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, self._plan.uid, self._plan.uid)
        return {}

    def _check_room(self) -> None:
        if sum(self._is_running(name) for name in self._running) >= MOST_KERNELS:
            raise RefusedRequest(f"{MOST_KERNELS} kernels run already. Shut one down first.")

    def _connect(self, kernel: str, request: dict[str, Any]) -> dict[str, Any]:
        """Write the kernel's connection file: the server sees the folder read-only."""
        content = request.get("content")
        if not isinstance(content, str) or len(content) > _LARGEST_FILE:
            raise RefusedRequest(f"Expected a connection file of at most {_LARGEST_FILE} characters, found another.")
        if self._is_running(kernel):
            raise RefusedRequest("Expected a prepared kernel that does not run yet. Restart the kernel.")
        folder = os.open(self._folder(kernel), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(CONNECTION_FILE, flags, 0o600, dir_fd=folder), "wb") as file:
                file.write(content.encode("utf-8", "replace"))
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), self._plan.uid, self._plan.uid)
        finally:
            os.close(folder)
        return {}

    def _start(self, kernel: str, request: dict[str, Any]) -> dict[str, Any]:
        if self._barred:
            raise RefusedRequest(self._barred)
        argv, cwd = get_command(request.get("argv")), request.get("cwd")
        if not is_word(cwd) or not str(cwd).startswith("/"):
            raise RefusedRequest("Expected an absolute working folder, found something else.")
        self._check_room()
        folder = self._folder(kernel)
        if self._is_running(kernel) or not folder.is_dir() or folder.is_symlink():
            raise RefusedRequest("Expected a prepared kernel that does not run yet. Restart the kernel.")
        own = Bind(folder, INSIDE_IPC / kernel, writable=True)
        chosen = self._profile(request.get("image", PYTHON))
        profile = replace(chosen, binds=(*chosen.binds, own))
        command = [*self._plan.launcher, "/usr/bin/env", f"--chdir={cwd}", "--", *_own_start_files(str(cwd)), *argv]
        self._running[kernel] = self._engine.start(profile, command, subprocess.DEVNULL)
        if PROGRAM in argv:
            self._terminals.add(kernel)
        return {"pid": self._running[kernel].pid}

    def _profile(self, image: object) -> SandboxProfile:
        """The server can choose a name; what is behind it is the plan's."""
        known = {PYTHON: self._plan.kernel, **self._plan.other_kernels}
        if not isinstance(image, str) or image not in known:
            raise RefusedRequest(f"Expected a kernel of the images {', '.join(known)}, found another name.")
        return known[image]

    def _poll(self, kernel: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"code": self._running[kernel].poll() if kernel in self._running else 0}

    def _signal(self, kernel: str, request: dict[str, Any]) -> dict[str, Any]:
        number = request.get("number")
        if not isinstance(number, int) or not 0 < number < 32:
            raise RefusedRequest("Expected a signal's number from 1 to 31, found something else.")
        if self._is_running(kernel):
            self._running[kernel].signal(number)
        return {}

    def _remove(self, kernel: str, request: dict[str, Any]) -> dict[str, Any]:
        if self._is_running(kernel):
            raise RefusedRequest("Expected a kernel that has ended, found it running. Shut it down first.")
        self._running.pop(kernel, None)
        self._terminals.discard(kernel)
        remove_tree(self._folder(kernel))
        return {}


def _own_start_files(cwd: str) -> tuple[str, ...]:
    """In the shared folder R would run a ``.Rprofile`` that a colleague left beside the notebook (see R's ?Startup)."""
    if not Path(os.path.normpath(cwd)).is_relative_to(INSIDE_SHARED):
        return ()
    return (f"R_PROFILE_USER={INSIDE_SHARED.parent}/.Rprofile", f"R_ENVIRON_USER={INSIDE_SHARED.parent}/.Renviron")


def get_command(given: object) -> list[str]:
    """Raises RefusedRequest for what cannot be a program and its arguments."""
    if not isinstance(given, list) or not 0 < len(given) <= _MOST_WORDS or not all(map(is_word, given)):
        raise RefusedRequest(f"Expected a command of at most {_MOST_WORDS} words, found something else.")
    return given


def is_word(given: object) -> bool:
    """Can it be an argument? (Half a surrogate pair, which JSON can hold, cannot.)"""
    if not isinstance(given, str) or "\0" in given or len(given) > _LONGEST:
        return False
    return given.encode(errors="replace").decode() == given

"""Kernels in sandboxes of their own: asks the workspace host, over the descriptor ``ENCLAVE_HOST_FD``, to run them.

Server and kernel share the home, and one folder per kernel for its connection file and its ipc:// sockets; the host
makes that folder anew for each start and writes the file, as the folder is read-only here. One request at a time; a
request takes milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
import threading
from functools import cache
from pathlib import Path

from jupyter_client.provisioning import KernelProvisionerBase
from tornado import web

_LARGEST = 1 << 17
_POLL_SECONDS = 0.1
_SIGTERM, _SIGKILL = 15, 9


class KernelRefused(web.HTTPError):
    """The host would not start this kernel; its sentence, which JupyterLab shows (503)."""

    def __init__(self, sentence: str) -> None:
        super().__init__(503, sentence)
        self._sentence = sentence

    def __str__(self) -> str:
        return self._sentence


class HostChannel:
    """The descriptor. No other process of ours may inherit it."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()

    def ask(self, do: str, kernel: str, **more):
        """The host's answer. Raises KernelRefused, and OSError when the host is gone."""
        with self._lock:
            self._socket.send(json.dumps({"do": do, "kernel": kernel, **more}).encode())
            answer = json.loads(self._socket.recv(_LARGEST))
        if "problem" in answer:
            raise KernelRefused(answer["problem"])
        return answer


@cache
def channel() -> HostChannel:
    """The one channel of this server."""
    return HostChannel(int(os.environ["ENCLAVE_HOST_FD"]))


class HostProvisioner(KernelProvisionerBase):
    """See the module."""

    _started = False
    _cwd = ""

    @property
    def has_process(self) -> bool:
        """Did we start it, and nobody has waited for its end yet?"""
        return self._started

    async def _ask(self, do, **more):
        return await asyncio.to_thread(channel().ask, do, self.kernel_id, **more)

    async def pre_launch(self, **kwargs):
        """A fresh folder, a connection file in it, and the command."""
        await self._ask("prepare")
        manager = self.parent
        folder = Path(os.environ["ENCLAVE_IPC"]) / self.kernel_id
        manager.transport = "ipc"
        manager.ip = str(folder / "s")
        session = kwargs.get("env", {}).get("JPY_SESSION_NAME", "")
        with tempfile.TemporaryDirectory() as own:
            manager.connection_file = str(Path(own) / "kernel.json")
            manager.write_connection_file(jupyter_session=session)
            content = Path(manager.connection_file).read_text()
        manager.connection_file = str(folder / "kernel.json")
        await self._ask("connect", content=content)
        self.connection_info = manager.get_connection_info()
        command = manager.format_kernel_cmd(extra_arguments=kwargs.pop("extra_arguments", []))
        return await super().pre_launch(cmd=command, **kwargs)

    async def launch_kernel(self, cmd, **kwargs):
        """The environment is the host's to choose; of ours, nothing goes along."""
        self._cwd = str(Path.home() / (kwargs.get("cwd") or ""))
        image = (self.kernel_spec.metadata or {}).get("enclave_image", "python")
        await self._ask("start", argv=list(cmd), cwd=self._cwd, image=image)
        self._started = True
        return self.connection_info

    async def poll(self):
        """None while it runs."""
        return (await self._ask("poll"))["code"] if self._started else 0

    async def wait(self):
        """Its exit code, once it has ended."""
        while (code := await self.poll()) is None:
            await asyncio.sleep(_POLL_SECONDS)
        self._started = False
        return code

    async def send_signal(self, signum):
        """To the kernel and what it has started."""
        if self._started:
            await self._ask("signal", number=int(signum))

    async def terminate(self, restart=False):
        """Ask it to end."""
        await self.send_signal(_SIGTERM)

    async def kill(self, restart=False):
        """End its sandbox."""
        await self.send_signal(_SIGKILL)

    async def cleanup(self, restart=False):
        """The folder goes; at a restart ``prepare`` makes it anew."""
        if not restart and not self._started:
            await self._ask("remove")

    def resolve_path(self, path_str):
        """A path as the kernel sees it; server and kernel share the home."""
        path = Path(self._cwd) / Path(path_str).expanduser()
        return path.as_posix() if path.exists() else None

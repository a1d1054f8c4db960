"""Terminals, each in a sandbox of its own beside the kernels': this server only passes on what is typed and shown.

A shell in this server's sandbox could read this server's memory (ADR 31), so the workspace host is asked for a sandbox
as for a kernel, in which ``terminal.py`` holds the pty. We connect to it once, before its shell runs. The interface is
the one JupyterLab knows from jupyter-server-terminals: a list at ``/api/terminals``, frames ``["stdout", text]`` and
``["stdin", text]`` at ``/terminals/websocket/<name>``. Only loaded where the permit allows terminals; the edge enforces
it. Non-goals: to outlive this server, and to end terminals that nobody looks at.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
import socket
import struct
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from enclave_jupyter.provisioner import KernelRefused, channel

PROGRAM = "/opt/enclave_terminal/terminal.py"
_START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_PACKET = 16_000
_REPLAYED = 32_000
"""So many of the last characters a window sees that opens later."""
_SIGKILL = 9
_NAME = r"(?P<name>[1-9][0-9]{0,2})"


async def _ask(do: str, ident: str, **more: Any) -> dict[str, Any]:
    return await asyncio.to_thread(channel().ask, do, ident, **more)


class Terminal:
    """One shell in its sandbox, and the windows that look at it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.windows: set[TerminalSocket] = set()
        self.ended = asyncio.Event()
        self.last_activity = datetime.now(UTC)
        self._id = str(uuid.uuid4())
        self._shown = ""
        self._typing = asyncio.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)

    @property
    def model(self) -> dict[str, str]:
        """As JupyterLab expects it."""
        return {"name": self.name, "last_activity": self.last_activity.isoformat()}

    async def start(self, cwd: str) -> None:
        """Raises KernelRefused, OSError, TimeoutError; then nothing is left of it."""
        try:
            await _ask("prepare", self._id)
            path = str(Path(os.environ["ENCLAVE_IPC"]) / self._id / "t")
            await _ask("start", self._id, argv=[sys.executable, "-I", "-S", PROGRAM, path], cwd=cwd)
            async with asyncio.timeout(_START_SECONDS):
                await self._connect(path)
        except BaseException:
            await self._clear()
            raise

    async def _connect(self, path: str) -> None:
        while True:
            try:
                await asyncio.get_running_loop().sock_connect(self._socket, path)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if (await _ask("poll", self._id))["code"] is not None:
                    raise KernelRefused("The terminal ended before it was there. Open another one.") from None
                await asyncio.sleep(_POLL_SECONDS)

    async def run(self) -> None:
        """Until the shell has ended; then everything of it is gone."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with contextlib.suppress(OSError):
            while packet := await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16):
                await self._show(decoder.decode(packet))
        self.ended.set()
        for window in list(self.windows):
            await window.say("disconnect", 1)
            window.close()
        await self._clear()

    async def _show(self, text: str) -> None:
        """A window that reads slowly holds the program up, as a slow line does."""
        self.last_activity = datetime.now(UTC)
        self._shown = (self._shown + text)[-_REPLAYED:]
        for window in list(self.windows):
            await window.say("stdout", text)

    async def attach(self, window: TerminalSocket) -> None:
        """It sees what was shown last, then all that comes."""
        await window.say("setup", {})
        if self._shown:
            await window.say("stdout", self._shown)
        self.windows.add(window)

    async def type(self, text: str) -> None:
        """Somebody has typed."""
        content = text.encode("utf-8", "replace")
        for start in range(0, len(content), _PACKET):
            await self._send(b"i" + content[start : start + _PACKET])

    async def resize(self, rows: int, columns: int) -> None:
        """A window has this size now."""
        await self._send(b"s" + struct.pack(">2H", rows, columns))

    async def _send(self, packet: bytes) -> None:
        async with self._typing:
            with contextlib.suppress(OSError):  # it has ended; ``run`` notices
                await asyncio.get_running_loop().sock_sendall(self._socket, packet)

    async def end(self) -> None:
        """End the sandbox; returns when ``run`` has seen it."""
        await _ask("signal", self._id, number=_SIGKILL)
        await self.ended.wait()

    async def _clear(self) -> None:
        self._socket.close()
        with contextlib.suppress(KernelRefused, OSError):
            await _ask("signal", self._id, number=_SIGKILL)
            while (await _ask("poll", self._id))["code"] is None:
                await asyncio.sleep(_POLL_SECONDS)
            await _ask("remove", self._id)


class Terminals:
    """All of this server, by name."""

    def __init__(self) -> None:
        self._running: dict[str, Terminal] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()

    async def open(self, cwd: str) -> Terminal:
        """A new one. Raises what ``Terminal.start`` raises."""
        async with self._opening:
            terminal = Terminal(next(str(n) for n in range(1, 1000) if str(n) not in self._running))
            await terminal.start(cwd)
            self._running[terminal.name] = terminal
        task = asyncio.create_task(self._keep(terminal))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return terminal

    async def _keep(self, terminal: Terminal) -> None:
        try:
            await terminal.run()
        finally:
            self._running.pop(terminal.name, None)

    def get(self, name: str) -> Terminal:
        """Raises HTTPError 404."""
        terminal = self._running.get(name)
        if terminal is None or terminal.ended.is_set():
            raise web.HTTPError(404, f"There is no terminal {name}. It may have ended.")
        return terminal

    def models(self) -> list[dict[str, str]]:
        """Of those that run."""
        return [terminal.model for terminal in self._running.values() if not terminal.ended.is_set()]


TERMINALS = Terminals()


class TerminalsHandler(APIHandler):
    """All terminals."""

    auth_resource = "terminals"

    @web.authenticated
    async def get(self) -> None:
        """The list."""
        self.finish(json.dumps(TERMINALS.models()))

    @web.authenticated
    async def post(self) -> None:
        """``{"cwd"}``, a folder below the home → the model of a new one."""
        asked = self.get_json_body() or {}
        try:
            terminal = await TERMINALS.open(_folder(asked.get("cwd")))
        except (KernelRefused, OSError, TimeoutError) as error:
            raise web.HTTPError(503, str(error) or "The terminal did not start in time. Try again.") from error
        self.finish(json.dumps(terminal.model))


def _folder(asked: object) -> str:
    """What was asked for, or the home."""
    home = Path.home()
    found = home / asked.strip("/") if isinstance(asked, str) and "\0" not in asked else home
    return str(found if found.is_dir() else home)


class TerminalHandler(APIHandler):
    """One terminal."""

    auth_resource = "terminals"

    @web.authenticated
    async def get(self, name: str) -> None:
        """Its model."""
        self.finish(json.dumps(TERMINALS.get(name).model))

    @web.authenticated
    async def delete(self, name: str) -> None:
        """It ends."""
        await TERMINALS.get(name).end()
        self.set_status(204)
        self.finish()


class TerminalSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One window's channel."""

    auth_resource = "terminals"
    _terminal: Terminal

    def set_default_headers(self) -> None:
        """Those of a page make no sense here."""

    @ws_authenticated
    async def get(self, name: str) -> None:
        """Switch to a WebSocket, if there is such a terminal."""
        self._terminal = TERMINALS.get(name)
        await super().get(name=name)

    async def open(self, name: str) -> None:
        """From now on it sees what is shown."""
        super().open()
        await self._terminal.attach(self)

    async def say(self, *frame: object) -> None:
        """Returns when it has been sent; nothing happens when the window is gone."""
        try:
            await self.write_message(json.dumps(frame))
        except WebSocketClosedError:
            self._terminal.windows.discard(self)

    async def on_message(self, message: str | bytes) -> None:
        """``["stdin", text]`` or ``["set_size", rows, columns, …]``; anything else is passed over."""
        try:
            kind, *rest = json.loads(message)
        except (ValueError, TypeError):
            return
        if kind == "stdin" and rest and isinstance(rest[0], str):
            await self._terminal.type(rest[0])
        elif kind == "set_size" and all(isinstance(n, int) and 0 < n < 1 << 16 for n in rest[:2]) and len(rest) > 1:
            await self._terminal.resize(rest[0], rest[1])

    def on_close(self) -> None:
        """The terminal goes on."""
        if hasattr(self, "_terminal"):
            self._terminal.windows.discard(self)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "enclave_jupyter.terminals"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    base = os.environ["ENCLAVE_BASE_URL"]
    routes = (
        ("api/terminals", TerminalsHandler),
        (f"api/terminals/{_NAME}", TerminalHandler),
        (f"terminals/websocket/{_NAME}", TerminalSocket),
    )
    server.web_app.add_handlers(".*$", [(url_path_join(base, path), handler) for path, handler in routes])
    server.web_app.settings["terminals_available"] = True

"""What the probes aim at and what has to be real for them to mean something: listeners that answer, a process, shared
memory and queues, for as long as the probes run. Outside of the sandboxes, on loopback; nothing of it holds a secret.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_CREATE = 0o1000 | 0o600
_REMOVE = 0
_QUEUE_MODE = 0o600
Address = Any


class Surroundings:
    """``with Surroundings(address) as around``: then ``around.targets``. ``address``: one of this machine's own."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._stack = contextlib.ExitStack()
        self._wake, self._waking = socket.socketpair()
        self.targets: dict[str, Any] = {}

    def __enter__(self) -> Surroundings:
        with contextlib.ExitStack() as stack:
            self._listen_everywhere(stack)
            self._start_process(stack)
            self._system_v(stack)
            self._posix(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def listen(self, family: int, kind: int, address: Address) -> Address:
        """A socket that answers ``enclave`` to whatever comes; returns its address."""
        listening = socket.socket(family, kind)
        self._stack.callback(listening.close)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        if kind == socket.SOCK_STREAM:
            listening.listen(16)
        listening.setblocking(False)
        self._selector.register(listening, selectors.EVENT_READ)
        return listening.getsockname()

    def _listen_everywhere(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        stack.callback(self._selector.close)
        self._selector.register(self._wake, selectors.EVENT_READ)
        stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
        for name, family, kind, address in (
            ("tcp4", socket.AF_INET, stream, "127.0.0.1"),
            ("udp4", socket.AF_INET, datagram, "127.0.0.1"),
            ("tcp6", socket.AF_INET6, stream, "::1"),
            ("udp6", socket.AF_INET6, datagram, "::1"),
            ("host_tcp", socket.AF_INET, stream, self._address),
            ("host_udp", socket.AF_INET, datagram, self._address),
        ):
            with contextlib.suppress(OSError):  # a machine without IPv6: then there is nothing to aim at
                self.targets[name] = list(self.listen(family, kind, (address, 0))[:2])
        mark = f"enclave-selftest-{secrets.token_hex(8)}"
        self.targets |= {"mark": mark, "abstract": f"{mark}-s", "abstract_dgram": f"{mark}-d"}
        self.listen(socket.AF_UNIX, stream, f"\0{mark}-s")
        self.listen(socket.AF_UNIX, datagram, f"\0{mark}-d")
        thread = threading.Thread(target=self._answer, daemon=True)
        thread.start()

        def stop() -> None:
            self._waking.send(b"x")
            thread.join(10)
            self._wake.close()
            self._waking.close()

        stack.callback(stop)

    def _answer(self) -> None:
        while True:
            for key, _ in self._selector.select():
                found = key.fileobj
                if found is self._wake:
                    return
                if isinstance(found, socket.socket):
                    with contextlib.suppress(OSError):
                        _answer_once(found)

    def _start_process(self, stack: contextlib.ExitStack) -> None:
        """A process to see and to signal; it ends when its standard input does."""
        command = [sys.executable, "-c", "import sys; sys.stdin.read()", str(self.targets["mark"])]
        victim = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(victim.wait)
        stack.callback(victim.stdin.close if victim.stdin else victim.terminate)
        self.targets["victim"] = victim.pid

    def _system_v(self, stack: contextlib.ExitStack) -> None:
        key = secrets.randbelow(1 << 30) + 1
        made: tuple[tuple[str, tuple[int, ...], Callable[[int], object]], ...] = (
            ("shmget", (4096, _CREATE), lambda found: _LIBC.shmctl(found, _REMOVE, None)),
            ("semget", (1, _CREATE), lambda found: _LIBC.semctl(found, 0, _REMOVE)),
            ("msgget", (_CREATE,), lambda found: _LIBC.msgctl(found, _REMOVE, None)),
        )
        for name, arguments, remove in made:
            found = getattr(_LIBC, name)(key, *arguments)
            if found >= 0:
                stack.callback(remove, found)
                self.targets[f"{name}_key"] = key

    def _posix(self, stack: contextlib.ExitStack) -> None:
        name = f"/{self.targets['mark']}"
        queue = _LIBC.mq_open(name.encode(), os.O_RDWR | os.O_CREAT, _QUEUE_MODE, None)
        if queue >= 0:
            os.close(queue)
            stack.callback(_LIBC.mq_unlink, name.encode())
            self.targets["mq_name"] = name
        shared = Path("/dev/shm") / name[1:]  # noqa: S108
        with contextlib.suppress(OSError):
            shared.write_text("enclave selftest")
            stack.callback(shared.unlink)
            self.targets["shm_file"] = str(shared)


def _answer_once(listening: socket.socket) -> None:
    if listening.type == socket.SOCK_DGRAM:
        _, sender = listening.recvfrom(2048)
        if sender:
            listening.sendto(b"enclave", sender)
        return
    connection, _ = listening.accept()
    with connection:
        connection.setblocking(True)
        connection.settimeout(0.5)
        connection.recv(2048)
        connection.sendall(b"enclave")

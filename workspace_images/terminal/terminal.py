"""A terminal in a sandbox of its own: allocates a pty, runs a shell in it and copies bytes to and from one socket.

    python -I -S terminal.py SOCKET

Waits on SOCKET for the Jupyter server, once, and takes the socket away before the shell starts: so nothing of the
researcher's runs while there is a path that somebody follows. Packets in: ``i`` and what was typed, or ``s`` and rows
and columns (two unsigned 16-bit numbers, big-endian). Packets out: what the terminal shows. Ends with the shell or with
the connection, and the sandbox with it. Uses the standard library alone; holds nothing that the shell may not see.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
import threading
from pathlib import Path

_LARGEST = 1 << 16
_WAIT_SECONDS = 60.0
_FIRST_SIZE = (24, 80)
_SHELLS = ("/bin/bash", "/bin/sh")
_NOT_STARTED = 127


def accept_once(path: str) -> socket.socket:
    """The connection of whoever comes first; afterwards there is no socket any more. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.settimeout(_WAIT_SECONDS)
        listener.bind(path)
        listener.listen(1)
        connection = listener.accept()[0]
    Path(path).unlink()
    connection.setblocking(True)
    return connection


def set_size(terminal: int, rows: int, columns: int) -> None:
    """The kernel tells the programs in it."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def start_shell() -> tuple[int, int]:
    """Process id of the shell, and our end of its pty."""
    ours, its = os.openpty()
    set_size(ours, *_FIRST_SIZE)
    child = os.fork()
    if child:
        os.close(its)
        return child, ours
    try:
        os.close(ours)
        os.login_tty(its)
        shell = next(path for path in _SHELLS if Path(path).exists())
        words = {"TERM": "xterm-256color", "SHELL": shell, "PS1": r"\w$ "}
        os.execve(shell, [shell], {**os.environ, **words})
    finally:
        os._exit(_NOT_STARTED)


def type_in(connection: socket.socket, terminal: int) -> None:
    """Until the server hangs up. Raises OSError when the terminal is gone."""
    while packet := connection.recv(_LARGEST):
        kind, rest = packet[:1], packet[1:]
        if kind == b"s" and len(rest) == 4:
            set_size(terminal, *struct.unpack(">2H", rest))
        while kind == b"i" and rest:
            rest = rest[os.write(terminal, rest) :]


def show(connection: socket.socket, terminal: int) -> None:
    """Until nothing holds the terminal any more (EIO)."""
    with contextlib.suppress(OSError):
        while shown := os.read(terminal, _LARGEST // 2):
            connection.sendall(shown)


def main() -> None:
    """Never returns."""
    connection = accept_once(sys.argv[1])
    child, terminal = start_shell()

    def listen() -> None:
        with contextlib.suppress(OSError):
            type_in(connection, terminal)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    show(connection, terminal)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)


if __name__ == "__main__":
    main()

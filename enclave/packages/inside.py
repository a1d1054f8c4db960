"""Inside the fetching sandbox: ``python inside.py SOCKET COMMAND…`` runs COMMAND with the option ``--proxy`` behind it.

pip speaks to a proxy over TCP only, and the way out is a unix socket: so a door on this sandbox's own loopback carries
each connection there. Standard library alone; decides nothing (``enclave.packages.way_out`` does).
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading


def carry(reading: socket.socket, writing: socket.socket) -> None:
    """Bytes one way until they end."""
    with contextlib.suppress(OSError):
        while chunk := reading.recv(65_536):
            writing.sendall(chunk)
    with contextlib.suppress(OSError):
        writing.shutdown(socket.SHUT_WR)


def serve(connection: socket.socket, way_out: str) -> None:
    """One connection, to its end."""
    with connection, socket.socket(socket.AF_UNIX) as out, contextlib.suppress(OSError):
        out.connect(way_out)
        back = threading.Thread(target=carry, args=(out, connection), daemon=True)
        back.start()
        carry(connection, out)
        back.join()


def accept(door: socket.socket, way_out: str) -> None:
    """For ever."""
    while True:
        connection = door.accept()[0]
        threading.Thread(target=serve, args=(connection, way_out), daemon=True).start()


def main() -> int:
    """The command's exit code."""
    way_out, *command = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=accept, args=(door, way_out), daemon=True).start()
        proxy = f"http://127.0.0.1:{door.getsockname()[1]}"
        return subprocess.run([*command, "--proxy", proxy], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())

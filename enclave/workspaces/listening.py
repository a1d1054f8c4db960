"""Listening unix sockets in folders whose paths may be longer than a socket's address."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def listen_in(folder: Path, name: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A listening socket ``name`` in ``folder``, its owner's own, in the place of what was there. Raises OSError."""
    listening = socket.socket(socket.AF_UNIX, kind)
    above = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        path = f"/proc/self/fd/{above}/{name}"
        Path(path).unlink(missing_ok=True)
        listening.bind(path)
        Path(path).chmod(0o600)
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    finally:
        os.close(above)
    return listening

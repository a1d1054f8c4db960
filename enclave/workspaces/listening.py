"""Listening unix sockets in folders whose paths may be longer than a socket's address."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def listen_in(folder: Path, name: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A listening socket ``name`` in ``folder``, its owner's own, in the place of what was there. Raises OSError.

    The name is there once it listens: who finds it may connect.
    """
    listening = socket.socket(socket.AF_UNIX, kind)
    above = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        making = Path(f"/proc/self/fd/{above}/.{name}.making")
        making.unlink(missing_ok=True)
        listening.bind(str(making))
        making.chmod(0o600)
        listening.listen(128)
        making.rename(f"/proc/self/fd/{above}/{name}")
    except OSError:
        listening.close()
        raise
    finally:
        os.close(above)
    return listening

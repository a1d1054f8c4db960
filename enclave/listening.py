"""Listening unix sockets in folders whose paths may be longer than a socket's address."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BACKLOG = 128


def listen_in(
    folder: Path, name: str, *, mode: int = 0o600, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """A listening socket ``name`` in ``folder``, in the place of what was there. Raises OSError.

    The name is there once it listens and has its mode, whatever the umask: who finds it may connect. ``folder`` is no
    link, and belongs to who calls: nobody else can put anything in the socket's place meanwhile.
    """
    above = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    listening = socket.socket(socket.AF_UNIX, kind)
    try:
        making = Path(f"/proc/self/fd/{above}/.{name}.making")
        making.unlink(missing_ok=True)
        listening.bind(str(making))
        making.chmod(mode)
        listening.listen(_BACKLOG)
        making.rename(f"/proc/self/fd/{above}/{name}")
    except OSError:
        listening.close()
        raise
    finally:
        os.close(above)
    return listening

"""How many files and sockets a process may have open: for those that hold connections of many people.

A service starts with the soft limit of whoever started it, 1024 under systemd. Beyond it nothing can be accepted,
asked or recorded, for nobody; so these processes take what the machine allows.
"""

from __future__ import annotations

import resource
from contextlib import suppress

_ENOUGH = 1 << 18


def limit() -> int:
    """How many there may be."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """The soft limit becomes the hard one. What is started from here inherits it; sandboxes have their own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

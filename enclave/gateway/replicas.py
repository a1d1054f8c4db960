"""Where one front keeps what is its own, so that several serve the same project store side by side.

The first front has no name and the fixed paths of DESIGN.md. A replica ``NAME`` has ``run/gw-NAME/`` (control socket,
sockets of projects, workers) and writes records as ``gateway-NAME``. What all share is on disk: access files, permits,
extracts, scratch, today's counts, the uids of workers. Statement handles are a front's own: a client stays where it is.
Non-goal: workspaces; their sockets are the first front's.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from enclave.settings import Settings

WRITER = "gateway"
REPLICA_NAME = re.compile(r"[a-z][a-z0-9]{0,11}", re.ASCII)


class ReplicaError(Exception):
    """This replica cannot run; the sentence says why."""


@dataclass(frozen=True)
class FrontPlace:
    """One front's own names. Make it with ``place_of``."""

    replica: str
    folder: Path
    control_socket: Path

    @property
    def writer(self) -> str:
        """The name in this front's records: stays the same over its starts, and is nobody else's."""
        return f"{WRITER}-{self.replica}" if self.replica else WRITER

    @property
    def serves_workspaces(self) -> bool:
        return not self.replica


def place_of(settings: Settings, replica: str = "") -> FrontPlace:
    """Raises ReplicaError for a name of another shape."""
    if not replica:
        return FrontPlace("", settings.run_dir, settings.gateway_control_socket)
    if not REPLICA_NAME.fullmatch(replica):
        raise ReplicaError(f"Expected a replica's name like {REPLICA_NAME.pattern}, found another shape.")
    folder = settings.run_dir / f"gw-{replica}"
    return FrontPlace(replica, folder, folder / "gateway.sock")


def hold_name(settings: Settings, place: FrontPlace) -> IO[bytes]:
    """Keep the returned file open while the front runs: two fronts of one name would close each other's queries.

    The lock is on the shared storage, so another machine's front of the same name is seen as well. Raises ReplicaError.
    """
    settings.usage_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (settings.usage_dir / f"{place.writer}.lock").open("ab")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ReplicaError(
            f"Expected no other front that writes as {place.writer} on this ENCLAVE_HOME, found one "
            f"({os.strerror(error.errno or 0)}). Stop it, or choose another --replica."
        ) from error
    return file

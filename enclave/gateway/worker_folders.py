"""The folders that a worker's sandbox writes into: made before it starts, removed after its end."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import structlog

_log = structlog.get_logger()
_REMOVE_SECONDS = 10.0


def prepare_folders(spill: Path | None, scratch: Path | None, uid: int) -> None:
    """An empty spill folder, and a scratch folder that belongs to the worker's uid with whatever is in it."""
    root = os.geteuid() == 0
    if spill is not None:
        remove_folder(spill)
        spill.mkdir(parents=True, mode=0o700)
    if scratch is not None:
        scratch.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch.mkdir(exist_ok=True, mode=0o700)
    if root:
        kept = list(scratch.iterdir()) if scratch is not None else []
        for path in (spill, scratch, *kept):
            if path is not None:
                os.chown(path, uid, uid, follow_symlinks=False)


def remove_folder(folder: Path) -> None:
    """A folder that a worker's sandbox writes into. Once it is gone nothing can be made in it any more.

    What runs in the sandbox lives a moment longer than the sandbox's first process, and may make a file meanwhile.
    """
    ends_at = time.monotonic() + _REMOVE_SECONDS
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > ends_at:
            _log.error("folder-not-removed", folder=folder.name)
            return
        time.sleep(0.01)

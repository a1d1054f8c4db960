"""A copy of a log whose daemon goes on writing."""

import shutil
import time
from pathlib import Path


def copy_of_live_log(source: Path, target: Path, *, patience: float = 60.0) -> None:
    """Copy ``source`` to ``target`` as it was under one checkpoint.

    A partial file gives way to its full one while a copy is made, and a checkpoint moves on: such a copy is made again.
    TimeoutError after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = (source / "checkpoint").read_bytes()
        try:
            shutil.copytree(source, target)
        except (shutil.Error, FileNotFoundError):
            unmoved = False
        else:
            unmoved = (target / "checkpoint").read_bytes() == before == (source / "checkpoint").read_bytes()
        if unmoved:
            return
        shutil.rmtree(target, ignore_errors=True)
    raise TimeoutError(f"{source} did not stand still for {patience} s, the time one copy takes.")

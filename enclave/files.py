"""Files that are either the old or the new one, never half of each (temp file, fsync, rename, fsync of the folder).

And trees that are wholly gone, whatever was made of them.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``content``; a crash leaves the old file or the new one. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and creations in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Take ``path`` away with all below it, of any depth, no link followed, no other file system entered.

    ``rm`` and not ``shutil.rmtree``, which gives up at a thousand folders (with RecursionError, whatever it was told
    about errors). No error when there is nothing. Raises OSError when something is left.
    """
    if not os.path.lexists(path):
        return
    remove = ["rm", "-rf", "--one-file-system", "--", str(path)]
    done = subprocess.run(remove, capture_output=True, check=False)
    if os.path.lexists(path) and os.geteuid() != 0:  # its owner took their own rights away
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], capture_output=True, check=False)
        done = subprocess.run(remove, capture_output=True, check=False)
    if os.path.lexists(path):
        said = done.stderr.decode(errors="replace").rsplit(":", 1)[-1].strip()[:100]
        raise OSError(f"Expected nothing to be left of a folder that goes, found some that cannot be removed: {said}.")

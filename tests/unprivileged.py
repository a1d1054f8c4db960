"""Processes of an ordinary account, which reach this checkout wherever it lies.

Imported as ``enclave_test_unprivileged``.

A checkout (or its Python) below a folder that only root may enter is shown to them at the very same path, in a mount
namespace of their own and read-only; everything else on the machine is as it is for any account.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from enclave.settings import REPOSITORY

_REACH = (REPOSITORY, Path(sys.base_prefix))
_SHOW = """
set -eu
stash=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$stash"
number=0
for path in {paths}; do
  number=$((number + 1))
  mkdir "$stash/$number"
  mount --bind "$path" "$stash/$number"
done
for closed in {closed}; do
  mount -t tmpfs -o mode=755 tmpfs "$closed"
done
number=0
for path in {paths}; do
  number=$((number + 1))
  mkdir -p "$path"
  mount --bind "$stash/$number" "$path"
  mount -o remount,bind,ro "$path"
done
umount --recursive "$stash"
exec "$@"
"""


@dataclass(frozen=True)
class Account:
    """An account of this machine, and a folder of its own."""

    name: str
    uid: int
    folder: Path

    def run(self, *arguments: str, seconds: float = 500, **environment: str) -> subprocess.CompletedProcess[str]:
        """``python ARGUMENTS`` as this account, with nothing in its environment but what is given."""
        stash = tempfile.mkdtemp(prefix="enclave-reach-")
        closed = dict.fromkeys(found for path in _REACH if (found := _closed_above(path)) is not None)
        script = _SHOW.format(paths=_words(_REACH), closed=_words(closed))
        become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "env", "-i"]
        known = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.folder), "LANG": "C.UTF-8", **environment}
        become += [f"{name}={value}" for name, value in known.items()]
        apart = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", stash]
        try:
            return subprocess.run(
                [*apart, *become, sys.executable, *arguments],
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        finally:
            Path(stash).rmdir()

    def processes(self) -> list[int]:
        """All that run under this account now."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if process.stat().st_uid == self.uid:
                    found.append(int(process.name))
        return found

    def end_all(self, seconds: float = 60.0) -> list[int]:
        """Wait until its processes have ended by themselves; those that had to be killed."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def _words(paths: object) -> str:
    return " ".join(f"'{path}'" for path in paths)  # type: ignore[attr-defined]


def _closed_above(path: Path) -> Path | None:
    """The outermost folder above ``path`` that other accounts may not walk through."""
    return next((above for above in reversed(path.parents) if above.stat().st_mode & 0o001 == 0), None)


@contextlib.contextmanager
def ordinary_account() -> Iterator[Account]:
    """Made by useradd and removed again; ``folder`` is short, for unix sockets."""
    name = f"enclave-t{os.getpid()}"
    subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True)
    folder = Path(tempfile.mkdtemp(prefix="un", dir="/tmp"))
    try:
        uid = pwd.getpwnam(name).pw_uid
        os.chown(folder, uid, uid)
        yield Account(name, uid, folder)
    finally:
        subprocess.run(["userdel", name], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)

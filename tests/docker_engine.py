"""A Docker daemon of the tests' own: no bridge, no firewall rule, its data in a folder that goes away with it.

``docker_daemon`` yields what ``DOCKER_HOST`` has to be; the image ``BASE_IMAGE`` is in it. The image's archive is kept
in ``.images/``, so only the first run on a checkout makes one. Needs root and Debian's docker.io and mmdebstrap
(``scripts/system-packages tests``). Imported as ``enclave_test_docker`` (see ``conftest.py`` beside it).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BASE_IMAGE = "enclave-base:test"
_START_SECONDS = 60.0


@contextlib.contextmanager
def docker_daemon() -> Iterator[str]:
    """Start a daemon, import the base image; stop it and remove its data at the end."""
    root = Path(tempfile.mkdtemp(prefix="ed", dir="/tmp"))
    process, address = start_daemon(root)
    try:
        import_base_image(address)
        yield address
    finally:
        stop_daemon(process)
        unmount_below(root)
        shutil.rmtree(root, ignore_errors=True)


def start_daemon(root: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A daemon whose data is below ``root``, ready to answer; also for starting it again after a stop."""
    listening = root / "d.sock"
    options = [f"--data-root={root}/data", f"--exec-root={root}/exec", f"--pidfile={root}/pid", "--bridge=none"]
    options += ["--iptables=false", "--ip6tables=false", f"--host=unix://{listening}"]
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(["dockerd", *options], stdout=log, stderr=log, start_new_session=True)
    ends = time.monotonic() + _START_SECONDS
    while not _answers(listening):
        if process.poll() is not None or time.monotonic() > ends:
            raise AssertionError("dockerd did not start; the end of its log:\n" + (root / "log").read_text()[-2000:])
        threading.Event().wait(0.05)
    return process, f"unix://{listening}"


def _answers(listening: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.settimeout(10)
        probe.connect(str(listening))
        probe.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        return b" 200 " in probe.recv(100)
    return False


def stop_daemon(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, which ends its containers; then kill it."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def import_base_image(address: str) -> None:
    """``BASE_IMAGE`` in the daemon; its archive is made by one process at a time."""
    kept = REPOSITORY / ".images"
    kept.mkdir(exist_ok=True)
    with (kept / ".base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            [sys.executable, REPOSITORY / "workspace_images" / "base" / "build", "--docker", BASE_IMAGE],
            env={**os.environ, "DOCKER_HOST": address},
            check=True,
            timeout=170,
        )


def unmount_below(root: Path) -> None:
    """What a killed daemon leaves mounted."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    for target in reversed([line.split()[1] for line in lines if line.split()[1].startswith(f"{root}/")]):
        subprocess.run(["umount", "--lazy", target], check=False, capture_output=True)

"""Started by root, the daemon runs under an account of its own, even where only root can walk to its files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from running_log import ORIGIN, wait_until

import audit
from audit.client import AuditClient
from audit.event import AuditEvent
from audit.verify import verify_log

UID = 64_117

pytestmark = pytest.mark.needs_root


@pytest.fixture
def closed_home():
    """A home and a copy of the program in a folder that nobody but root can enter."""
    closed = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
    assert closed.stat().st_mode & 0o777 == 0o700
    home = closed / "home"
    home.mkdir(mode=0o755)
    shutil.copytree(Path(audit.__file__).parent, home / "program" / "audit")
    (home / "state").mkdir(mode=0o700)
    (home / "state" / "outside").symlink_to("/etc/hostname")
    yield home
    shutil.rmtree(closed)


def start(home: Path, *more: str) -> subprocess.Popen[bytes]:
    places = ["--socket", "run/audit/audit.sock", "--log", "log", "--state", "state", "--origin", ORIGIN]
    (home / "run").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(home / "program")}
    with (home / "errors").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "audit.daemon", *places, *more], cwd=home, env=environment, stderr=errors
        )


def test_it_gives_root_up_and_owns_only_its_own_files(closed_home: Path) -> None:
    before = Path("/etc/hostname").stat().st_uid
    process = start(closed_home, "--run-as", str(UID), "--realtime")
    try:
        socket = closed_home / "run/audit/audit.sock"
        wait_until(lambda: socket.exists() or process.poll() is not None)
        assert process.poll() is None, (closed_home / "errors").read_text()
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}" in status
        assert "CapEff:\t0000000000000000" in status
        with_payload = AuditEvent("query:intent", "u-1", project="p-1", payload={"sql": "SELECT 1"})
        client = AuditClient(socket, "test")
        receipt = client.record(with_payload)
        client.wait_published(receipt.index, closed_home / "log")
        assert client.payload(receipt.index, "u-2") == {"sql": "SELECT 1"}
        client.close()
    finally:
        process.terminate()
        process.wait(60)
    key = (closed_home / "state/log.vkey").read_text().strip()
    assert verify_log(closed_home / "log", key).ok
    owners = {path.lstat().st_uid for path in (closed_home / "state").rglob("*")}
    assert owners == {UID}
    assert Path("/etc/hostname").stat().st_uid == before, "a link's target must not change hands"


def test_a_log_begun_by_root_is_handed_over_at_the_next_start(closed_home: Path) -> None:
    for more in ((), ("--run-as", str(UID))):
        process = start(closed_home, *more)
        try:
            socket = closed_home / "run/audit/audit.sock"
            wait_until(lambda: socket.exists() or process.poll() is not None)  # noqa: B023
            assert process.poll() is None, (closed_home / "errors").read_text()
            client = AuditClient(socket, "test")
            client.record(AuditEvent("query:intent", "u-1"))
            client.close()
        finally:
            process.terminate()
            process.wait(60)
    assert (closed_home / "state/signing.key").stat().st_uid == UID


def test_it_still_ends_with_its_supervisor(closed_home: Path) -> None:
    """Changing the account makes the kernel forget the parent-death signal; the daemon asks for it again."""
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['setpriv', '--pdeathsig', 'TERM', *sys.argv[1:]])\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    places = ["--socket", "run/audit.sock", "--log", "log", "--state", "state", "--origin", ORIGIN]
    command = [sys.executable, "-P", "-m", "audit.daemon", *places, "--run-as", str(UID)]
    (closed_home / "run").mkdir()
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program, *command], cwd=closed_home, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    daemon = Path("/proc") / supervisor.stdout.readline().decode().strip()
    socket = closed_home / "run/audit.sock"
    wait_until(socket.exists)
    supervisor.kill()
    supervisor.communicate(timeout=60)
    wait_until(lambda: not daemon.exists())


def test_only_root_can_change_the_account(closed_home: Path) -> None:
    """A daemon that was told to run as somebody and cannot must not start as somebody else."""
    closed_home.parent.chmod(0o755)
    program = (  # modules are loaded by root: the other account may not be able to read this checkout
        "import os, shutil, sys, traceback; from audit.daemon.__main__ import parse_arguments, run\n"
        "os.setgroups([]); os.setresuid(65534, 65534, 65534); sys.exit(run(parse_arguments(sys.argv[1:])))"
    )
    command = [sys.executable, "-P", "-c", program, "--socket", "s", "--log", "log", "--state", "state"]
    done = subprocess.run(
        [*command, "--origin", ORIGIN, "--run-as", str(UID)],
        cwd=closed_home,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert b"leave out --run-as" in done.stderr

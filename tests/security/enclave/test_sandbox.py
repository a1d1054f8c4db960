"""The sandbox that workers, builds and workspaces share: each probe fails inside and succeeds outside.

The positive control is the same probe outside the sandbox, so that a probe that cannot fail is noticed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enclave.sandbox import Bind, SandboxError, SandboxProfile, popen, python_binds
from enclave.workspaces import engines
from enclave.workspaces.engines import BubblewrapEngine

PROBES = {
    "listen on the host's loopback": "import socket; socket.create_connection(('127.0.0.1', PORT), 2)",
    "read a file of the host": "open(SECRET).read()",
    "write beside our code": "open(TARGET, 'w').write('x')",
    "open a raw packet socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)",
    "open a vsock": "import socket; socket.socket(40, socket.SOCK_STREAM)",
    "open an audit netlink": "import socket; socket.socket(16, socket.SOCK_RAW, 9)",
    "see the host's processes": "import os; os.kill(HOST_PID, 0); assert open('/proc/%d/cmdline' % HOST_PID).read()",
    "make a user namespace": "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "trace a process": "import ctypes, os; assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0",
    "use io_uring": "import ctypes; r = ctypes.CDLL(None, use_errno=True).syscall(425, 1, 0);"
    "assert not (r < 0 and ctypes.get_errno() == 1)",
    "be root": "import os; assert os.geteuid() == 0",
    "bind a privileged resource": "import os; os.setuid(0); os.mknod('/tmp/probe-node', 0o20600, 259); "
    "os.unlink('/tmp/probe-node')",
}


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, object]:
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    secret = tmp_path / "secret"
    secret.write_text("identity")
    return {
        "PORT": listener.getsockname()[1],
        "SECRET": str(secret),
        "TARGET": str(tmp_path / "written"),
        "HOST_PID": os.getpid(),
        "_listener": listener,
    }


def inside(code: str, **profile: object) -> tuple[int, str]:
    binds = python_binds()
    process = popen(
        SandboxProfile(binds=binds, uid=234567, **profile),  # type: ignore[arg-type]
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = process.communicate(timeout=60)[0].decode()
    return process.returncode, output


def with_constants(code: str, surroundings: dict[str, object]) -> str:
    constants = {name: value for name, value in surroundings.items() if not name.startswith("_")}
    return f"import json; globals().update(json.loads({json.dumps(json.dumps(constants))})); {code}"


@pytest.mark.parametrize("name", PROBES)
def test_probe_fails_inside_and_works_outside(name: str, surroundings: dict[str, object]) -> None:
    code = with_constants(PROBES[name], surroundings)
    outside = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert outside.returncode == 0, f"the control must succeed: {outside.stderr}"
    status, output = inside(code)
    assert status != 0, output
    surroundings["_listener"].close()  # type: ignore[attr-defined]


def test_python_itself_works_inside() -> None:
    status, output = inside("import duckdb; print(duckdb.sql('select 42').fetchall())")
    assert (status, output.strip()) == (0, "[(42,)]")


def test_no_capability_and_no_new_privileges() -> None:
    status, output = inside("print(open('/proc/self/status').read())")
    fields = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert status == 0
    assert {fields[name].strip("0\n") for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {""}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_memory_limit_holds() -> None:
    status, output = inside("x = bytearray(600 << 20)", memory_mb=400)
    assert status != 0
    assert "MemoryError" in output


def test_limit_of_writable_memory_holds_and_leaves_reservations_alone() -> None:
    reserve = (
        "import mmap; m = mmap.mmap(-1, 2 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)"
    )
    assert inside(reserve, data_mb=400)[0] == 0
    status, output = inside("x = bytearray(600 << 20)", data_mb=400)
    assert status != 0
    assert "MemoryError" in output


def test_file_size_limit_holds() -> None:
    status, _ = inside("open('/tmp/x', 'wb').write(bytes(8 << 20))", files_mb=4)
    assert status != 0


def test_a_bind_is_read_only_unless_asked_otherwise(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    code = "open('/data/x', 'w').write('1')"
    for writable, expected in ((False, False), (True, True)):
        binds = (*python_binds(), Bind(tmp_path, Path("/data"), writable=writable))
        process = popen(
            SandboxProfile(binds=binds, uid=234567), [sys.executable, "-c", code], stderr=subprocess.DEVNULL
        )
        assert (process.wait(60) == 0) == expected


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="not-there"):
        popen(SandboxProfile(binds=(Bind(tmp_path / "not-there", Path("/x")),)), ["true"])


def test_it_dies_with_the_process_that_started_it() -> None:
    code = (
        "import sys, os, signal, subprocess; from enclave.sandbox import *; "
        "p = popen(SandboxProfile(binds=python_binds(), uid=234567), ['sh', '-c', 'echo up; exec sleep 600 >&-'], "
        "stdout=subprocess.PIPE, stderr=subprocess.DEVNULL); p.stdout.readline(); "
        "print(p.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    pid = int(output.stdout)
    deadline = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(pid), "the sandbox outlived its starter"


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_a_program_starts_only_once_its_host_has_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is killed while it makes a sandbox: bubblewrap is not tied to it yet, and nobody answers."""
    profile = SandboxProfile(binds=(Bind(tmp_path, Path("/given"), writable=True),), uid=234567)
    tmp_path.chmod(0o777)
    started = BubblewrapEngine().start(profile, ["/usr/bin/touch", "/given/answered"], subprocess.DEVNULL)
    assert started.wait(60) == 0 and (tmp_path / "answered").exists()

    def die(ours: socket.socket) -> None:
        with ours:
            ours.recv(16)

    monkeypatch.setattr(engines, "_answer_once", die)
    started = BubblewrapEngine().start(profile, ["/usr/bin/touch", "/given/unanswered"], subprocess.DEVNULL)
    assert started.wait(60) == 75 and not (tmp_path / "unanswered").exists()

"""From inside a running workspace nothing of the host can be reached; outside the same probes succeed (the control)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROBES = Path(__file__).parent / "probes.py"
MACHINE_DEPENDENT = {"kernel crypto socket", "vsock socket", "netlink audit socket", "io_uring", "bpf", "keyring"}
"""Whether these work outside depends on the kernel; inside they must fail in any case."""


def own_address() -> str:
    """An address of this machine other than loopback (loopback's second one where there is no network)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


class Listeners:
    """Sockets on the host that accept connections while the probes run."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def add(self, family: int, address: Any) -> Any:
        listening = socket.socket(family)
        listening.bind(address)
        listening.listen(16)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        self.sockets.append(listening)
        return listening.getsockname()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                listening.accept()[0].close()
            except OSError:
                return

    def close(self) -> None:
        for listening in self.sockets:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()


@pytest.fixture(scope="module")
def results(stand: Any) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Outcomes inside alice's workspace and outside, while bob's workspace runs too."""
    listeners = Listeners()
    abstract = f"enclave-probe-{os.getpid()}"
    listeners.add(socket.AF_UNIX, "\0" + abstract)
    docker = stand.root / "run" / "docker.sock"
    listeners.add(socket.AF_UNIX, str(docker))
    alice, bob = stand.browser("alice"), stand.browser("bob")
    here = alice.start_workspace("first-project")
    bob.start_workspace("first-project")
    bobs = next(wid for wid, who in stand.portal.started.items() if who.startswith("bob/"))
    run = stand.settings.run_dir
    targets = {
        "port": listeners.add(socket.AF_INET, ("127.0.0.1", 0))[1],
        "port6": listeners.add(socket.AF_INET6, ("::1", 0))[1],
        "port_all": listeners.add(socket.AF_INET, ("0.0.0.0", 0))[1],
        "address": own_address(),
        "abstract": abstract,
        "hub_pid": stand.hub.pid,
        "files": [
            str(stand.settings.keys_dir / "service.secret"),
            str(run / "ws" / bobs / "in" / "token"),
            "/etc/shadow",
            "/etc/hostname",
            f"/proc/{stand.hub.pid}/environ",
            str(Path(__file__)),
        ],
        "folders": [
            str(run / "ws" / bobs),
            str(stand.settings.workspaces_dir / "first-project" / "bob"),
            str(stand.root),
            "/root",
            "/var",
        ],
        "sockets": [
            str(stand.settings.hub_socket),
            str(stand.settings.portal_socket),
            str(stand.settings.edge_api_socket),
            str(stand.settings.gateway_control_socket),
            str(run / "ws" / bobs / "in" / "gateway.sock"),
            str(run / "ws" / bobs / "host" / "j.sock"),
            str(docker),
        ],
        "write": ["/usr", "/etc", "/"],
    }
    script = f"TARGETS = {targets!r}\n" + PROBES.read_text()
    outside = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    inside = alice.run_cell(here, script, 90)
    yield json.loads(inside.strip().splitlines()[-1]), json.loads(outside.stdout)
    listeners.close()


def test_every_probe_fails_inside(results: tuple[dict[str, str], dict[str, str]]) -> None:
    inside, _ = results
    assert {name for name, outcome in inside.items() if outcome == "open"} == set()
    assert len(inside) > 35


@pytest.mark.needs_root
def test_the_same_probes_succeed_outside(results: tuple[dict[str, str], dict[str, str]]) -> None:
    _, outside = results
    failed = {name for name, outcome in outside.items() if outcome != "open"}
    assert failed - MACHINE_DEPENDENT <= {"a token of the hub in the environment"}


def test_the_workspace_sees_only_its_own_folder_under_run(stand: Any, results: object) -> None:
    alice = stand.browser("alice")
    here = alice.start_workspace("first-project")
    code = (
        "import os\n"
        "print(sorted(os.listdir('/')), os.listdir('/run'), os.listdir('/home'), sorted(os.listdir('/opt')))\n"
        "def attempt(f):\n    try:\n        f(); print('open')\n    except OSError as e:\n        print(e.strerror)\n"
        "attempt(lambda: open('/run/enclave/token', 'w'))\n"
        "attempt(lambda: os.unlink('/run/enclave/gateway.sock'))\n"
        "attempt(lambda: os.symlink('/var/run/docker.sock', '/run/enclave/j.sock'))\n"
        "attempt(lambda: open('/opt/image/x', 'w'))\n"
        "attempt(lambda: open('/opt/enclave_client/x', 'w'))\n"
        "attempt(lambda: open('/home/researcher/mine', 'w').close())\n"
        "print(len([p for p in os.listdir('/proc') if p.isdigit()]) < 10)\n"
    )
    lines = alice.run_cell(here, code).splitlines()
    assert "['enclave'] ['researcher'] ['enclave_client', 'enclave_server', 'image', 'python']" in lines[0]
    assert not {"root", "work", "var", "srv", "mnt"} & set(
        lines[0].replace("'", "").strip("[").split("]")[0].split(", ")
    )
    assert all(line in ("Read-only file system", "Permission denied") for line in lines[1:6]), lines
    assert lines[6:] == ["open", "True"]


def test_the_servers_open_files_lead_to_no_host_folder(stand: Any, results: object) -> None:
    """The server inherits its listening socket and its log; the log cannot be opened again for reading."""
    alice = stand.browser("alice")
    here = alice.start_workspace("first-project")
    code = (
        "import os\n"
        "server = os.getppid()\n"
        "for name in os.listdir(f'/proc/{server}/fd'):\n"
        "    to = os.readlink(f'/proc/{server}/fd/{name}')\n"
        "    ours = ('/home/researcher', '/tmp', '/dev', '/opt', '/proc', '/usr')\n"
        "    if to.startswith('/') and not to.startswith(ours):\n"
        "        try:\n            open(f'/proc/{server}/fd/{name}').read(); print('read', to)\n"
        "        except OSError as e:\n            print('closed')\n"
    )
    assert set(alice.run_cell(here, code).split()) <= {"closed"}


def test_what_the_researcher_plants_in_the_home_is_not_followed(stand: Any, results: object) -> None:
    """A link in the home names a path of the sandbox, not of the host, when the server opens it."""
    alice = stand.browser("alice")
    here = alice.start_workspace("first-project")
    secret = stand.settings.keys_dir / "service.secret"
    alice.run_cell(here, f"import os; os.symlink({str(secret)!r}, '/home/researcher/link.txt')")
    answer = alice.call("GET", f"{here}/api/contents/link.txt", params={"content": "1"})
    assert answer.status_code >= 400
    assert secret.read_text() not in answer.text

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

ENGINES = ("bubblewrap", "docker")
PROBES = Path(__file__).parent / "probes.py"
MACHINE_DEPENDENT = {"kernel crypto socket", "vsock socket", "netlink audit socket", "io_uring", "bpf", "keyring"}
MACHINE_DEPENDENT |= {"system call quotactl", "system call kcmp", "system call swapoff"}
"""Whether these work outside depends on the kernel; inside they must fail in any case."""


OF_EVERY_IMAGE = {"bubblewrap": {"tmp"}, "docker": {"tmp", "root", "var", "srv", "mnt"}}
"""Folders of the sandbox's own, with nothing of the machine in them."""


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


def server_of(stand: Any, workspace: str) -> int:
    """The Jupyter server's process, as the machine numbers it; bubblewrap's own carry the command as well."""
    asked = b"-m\0enclave_jupyter\0"
    found = [pid for pid in stand.processes_of(workspace) if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(asked)]
    return int(next(pid for pid in found if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/opt/image/bin/")))


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
    alices = next(wid for wid, who in stand.portal.started.items() if who.startswith("alice/"))
    other_kernel = alice.open_kernel(here)
    targets = {
        "server": server_of(stand, alices),
        "ipc": ["/run/kernels", str(run / "ws" / alices / "ipc")],
        "other_kernel": other_kernel,
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
            *([] if stand.settings.engine == "docker" else ["/etc/hostname"]),
            f"/proc/{stand.hub.pid}/environ",
            str(Path(__file__)),
        ],
        "folders": [
            str(run / "ws" / bobs),
            str(stand.settings.workspaces_dir / "first-project" / "bob"),
            str(stand.root),
            "/root",
            *([] if stand.settings.engine == "docker" else ["/var"]),
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
    assert len(inside) > 60


@pytest.mark.needs_root
def test_the_same_probes_succeed_outside(results: tuple[dict[str, str], dict[str, str]]) -> None:
    _, outside = results
    failed = {name for name, outcome in outside.items() if outcome != "open"}
    assert failed - MACHINE_DEPENDENT <= {
        "a token of the hub in the environment",
        "the host's channel among the open descriptors",
        "the host's channel in the environment",
    }


def test_the_workspace_sees_only_its_own_folder_under_run(stand: Any, results: object) -> None:
    alice = stand.browser("alice")
    here = alice.start_workspace("first-project")
    code = (
        "import os\n"
        "print(sorted(os.listdir('/')), sorted(os.listdir('/run')), os.listdir('/home'), sorted(os.listdir('/opt')))\n"
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
    found = [set(part.replace("'", "").strip(" [").split(", ")) for part in lines[0].split("]")[:4]]
    of_the_image = {"keeper", "lock", "enclave_keeper"} if stand.settings.engine == "docker" else set()
    assert found[1] - of_the_image == {"enclave", "kernels"}
    assert (found[2], found[3] - of_the_image) == ({"researcher"}, {"enclave_client", "image", "python"})
    assert not {"work", "tmp", "root", "var", "srv", "mnt"} & found[0] - OF_EVERY_IMAGE[stand.settings.engine]
    assert all(line in ("Read-only file system", "Permission denied") for line in lines[1:6]), lines
    assert lines[6:] == ["open", "True"]


@pytest.mark.needs_root
def test_the_channel_is_the_servers_alone(stand: Any, results: object) -> None:
    """The positive control of the two probes that look for it: the server does hold it, and what else is harmless."""
    wid = next(wid for wid, who in stand.portal.started.items() if who.startswith("alice/"))
    server = Path(f"/proc/{server_of(stand, wid)}")
    assert b"ENCLAVE_HOST_FD=" in (server / "environ").read_bytes()
    ours = ("/home/researcher", "/tmp", "/dev", "/opt", "/proc", "/usr", "socket:", "pipe:", "anon_inode:", "/memfd:")
    opened = [str(link.readlink()) for link in (server / "fd").iterdir()]
    assert [to for to in opened if not to.startswith(ours) and not to.endswith("host/server.log")] == []


def test_what_the_researcher_plants_in_the_home_is_not_followed(stand: Any, results: object) -> None:
    """A link in the home names a path of the sandbox, not of the host, when the server opens it."""
    alice = stand.browser("alice")
    here = alice.start_workspace("first-project")
    secret = stand.settings.keys_dir / "service.secret"
    alice.run_cell(here, f"import os; os.symlink({str(secret)!r}, '/home/researcher/link.txt')")
    answer = alice.call("GET", f"{here}/api/contents/link.txt", params={"content": "1"})
    assert answer.status_code >= 400
    assert secret.read_text() not in answer.text


LINKS = {
    "environ.ipynb": "/proc/self/environ",
    "token.ipynb": "/run/enclave/token",
    "folder": "/run/kernels",
    "inside.ipynb": "/home/researcher/real.ipynb",
    "up": "../..",
}


def test_jupyterlab_follows_no_link_out_of_the_home(stand: Any, results: object) -> None:
    """Reading, listing, saving, renaming, checkpoints: each through the link; the control is the file beside it."""
    alice = stand.browser("alice")
    here = alice.start_workspace("first-project")
    contents = f"{here}/api/contents"
    notebook = {"type": "notebook", "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}}
    assert alice.call("PUT", f"{contents}/real.ipynb", json=notebook).status_code == 201
    planted = "; ".join(f"os.symlink({to!r}, {name!r})" for name, to in LINKS.items())
    alice.run_cell(here, f"import os; os.chdir('/home/researcher'); {planted}")
    assert alice.call("GET", f"{contents}/real.ipynb", params={"content": "1"}).status_code == 200
    for name in LINKS:
        answer = alice.call("GET", f"{contents}/{name}", params={"content": "1"})
        assert (answer.status_code, "follows no links" in answer.text) == (403, True), (name, answer.text)
        assert alice.call("PATCH", f"{contents}/{name}", json={"path": "moved.ipynb"}).status_code == 403
    for name in ("environ.ipynb", "inside.ipynb"):
        assert alice.call("PUT", f"{contents}/{name}", json=notebook).status_code == 403
    assert alice.call("POST", f"{contents}/folder", json={"type": "notebook"}).status_code == 403
    assert alice.call("PUT", f"{contents}/up/researcher/x.ipynb", json=notebook).status_code == 403
    listed = {entry["name"] for entry in alice.call("GET", contents).json()["content"]}
    assert "real.ipynb" in listed and not listed & set(LINKS)
    checkpoint = alice.call("POST", f"{contents}/real.ipynb/checkpoints")
    assert checkpoint.status_code == 201
    assert alice.call("PATCH", f"{contents}/real.ipynb", json={"path": "renamed.ipynb"}).status_code == 200
    assert alice.call("DELETE", f"{contents}/renamed.ipynb").status_code == 204

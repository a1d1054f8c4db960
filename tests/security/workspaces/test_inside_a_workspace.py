"""What a workspace that the hub started sees, and what a researcher plants in it; the probes: test_isolation.py."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ENGINES = ("bubblewrap", "docker")
OF_EVERY_IMAGE = {"bubblewrap": {"tmp"}, "docker": {"tmp", "root", "var", "srv", "mnt"}}
"""Folders of the sandbox's own, with nothing of the machine in them."""


def server_of(stand: Any, workspace: str) -> int:
    """The Jupyter server's process, as the machine numbers it; bubblewrap's own carry the command as well."""
    asked = b"-m\0enclave_jupyter\0"
    for pid in stand.processes_of(workspace):
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if command.startswith(b"/opt/image/bin/") and command.endswith(asked):
                return int(pid)
    raise AssertionError(f"expected the server of {workspace}, found none")


@pytest.fixture(scope="module")
def started(stand: Any) -> None:
    """alice's workspace and bob's, of the same project."""
    for name in ("alice", "bob"):
        stand.browser(name).start_workspace("first-project")


def test_the_workspace_sees_only_its_own_folder_under_run(stand: Any, started: None) -> None:
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
def test_the_channel_is_the_servers_alone(stand: Any, started: None) -> None:
    """The positive control of the two probes that look for it: the server does hold it, and what else is harmless."""
    wid = next(wid for wid, who in stand.portal.started.items() if who.startswith("alice/"))
    server = Path(f"/proc/{server_of(stand, wid)}")
    assert b"ENCLAVE_HOST_FD=" in (server / "environ").read_bytes()
    ours = ("/home/researcher", "/tmp", "/dev", "/opt", "/proc", "/usr", "socket:", "pipe:", "anon_inode:", "/memfd:")
    opened = []
    for link in (server / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            opened.append(str(link.readlink()))
    assert [to for to in opened if not to.startswith(ours) and not to.endswith("host/server.log")] == []


def test_what_the_researcher_plants_in_the_home_is_not_followed(stand: Any, started: None) -> None:
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


def test_jupyterlab_follows_no_link_out_of_the_home(stand: Any, started: None) -> None:
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

"""The folder members share: they work together in it, and nobody borrows a colleague's identity through it.

Two members in live workspaces, each with an account of its own; the same probes outside succeed (the control).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from enclave_test_stand import Stand, wait_for  # type: ignore[import-not-found]

from audit.reader import LogUnreadable, read_entries
from enclave import keys
from enclave.access import AccessFiles
from enclave.destruction.remains import RemainKind, find_remains, measure, set_aside
from enclave.domain.ids import ProjectId
from enclave.files import remove_tree
from enclave.workspaces.shared_folder import close_for_good

PROBES = Path(__file__).with_name("shared_probes.py")
PROJECT = ProjectId("first-project")
MEGABYTES = 64
FOLDER = "/home/researcher/shared"

pytestmark = pytest.mark.needs_root


class AuditedStand(Stand):  # type: ignore[misc]
    """The stand with a real audit daemon: without one, no shared folder is made."""

    def prepare(self) -> None:
        settings = self.settings
        self.portal.shared_mb = MEGABYTES
        audit = ["--socket", str(settings.audit_socket), "--log", str(settings.log_dir)]
        self.start("audit.daemon", *audit, "--state", str(settings.audit_dir), "--origin", settings.log_origin)
        wait_for(settings.audit_socket.exists, "the audit daemon")

    def records(self) -> list[dict[str, Any]]:
        with suppress(LogUnreadable):  # nothing is published yet
            return [entry.leaf for entry in read_entries(self.settings.log_dir)]
        return []

    def has_record(self, kind: str, project: str) -> bool:
        return any(leaf["type"] == kind and leaf.get("project") == project for leaf in self.records())


class Member:
    """A person with an open workspace and one kernel."""

    def __init__(self, stand: Any, name: str, project: str) -> None:
        self.browser = stand.browser(name)
        self.here = self.browser.start_workspace(project)
        self.kernel = self.browser.open_kernel(self.here)
        self.contents = f"{self.here}/api/contents"

    def run(self, code: str) -> str:
        return str(self.browser.execute(self.here, self.kernel, code, 120))

    def call(self, method: str, path: str, **options: Any) -> Any:
        return self.browser.call(method, f"{self.contents}{path}", **options)


@pytest.fixture(scope="module")
def shared_stand() -> Iterator[Any]:
    with AuditedStand() as running:
        yield running


@pytest.fixture(scope="module")
def alice(shared_stand: Any) -> Member:
    home = shared_stand.settings.workspaces_dir / PROJECT / "alice"
    home.mkdir(parents=True)
    (home / "outbox").mkdir()
    # what she had under that name before there was a shared folder: a link that root's mount must not follow
    (home / "shared").symlink_to("/usr")
    for path in (home, home / "outbox"):
        os.chown(path, 200_000, 200_000)
    return Member(shared_stand, "alice", PROJECT)


@pytest.fixture(scope="module")
def bob(shared_stand: Any, alice: Member) -> Member:
    return Member(shared_stand, "bob", PROJECT)


def test_members_read_and_write_each_others_files(alice: Member, bob: Member) -> None:
    written = alice.run(
        f"import os; os.umask(0o077); os.makedirs('{FOLDER}/work')\n"
        f"open('{FOLDER}/work/plan.md', 'w').write('from alice'); print(os.getuid())"
    )
    read = bob.run(
        f"import os; print(open('{FOLDER}/work/plan.md').read(), os.getuid())\n"
        f"open('{FOLDER}/work/plan.md', 'a').write(' and bob'); os.rename('{FOLDER}/work', '{FOLDER}/ours')"
    )
    assert written.strip().splitlines()[-1] == "200000"
    assert read.strip() == "from alice 200001"
    assert alice.run(f"print(open('{FOLDER}/ours/plan.md').read())").strip() == "from alice and bob"
    home = alice.run("import os; print(sorted(os.listdir('/home/researcher')), os.path.isdir('/usr/bin'))")
    assert home.strip() == "['.ipython', 'outbox', 'shared', 'shared-before-1'] True"


def test_every_way_to_another_identity_is_closed(alice: Member, tmp_path: Path) -> None:
    head = f"FOLDER, SIZE = {FOLDER!r}, {MEGABYTES << 20}\n"
    inside = json.loads(alice.run(head + PROBES.read_text()).strip().splitlines()[-1])
    assert {name for name, outcome in inside.items() if outcome == "open"} == set(), inside
    assert (inside["more bytes than the quota"], inside["more files than the quota"]) == ("ENOSPC", "ENOSPC")
    assert len(inside) == 20
    control = tmp_path / "home" / "shared"
    control.mkdir(parents=True)
    script = f"FOLDER, SIZE = {str(control)!r}, 0\n" + PROBES.read_text()
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    closed = {name for name, outcome in json.loads(run.stdout).items() if outcome != "open"}
    assert closed <= {
        "the gateway's socket linked in",  # there is none outside
        "another mount of the gateway's socket",
        "socket linked in from /tmp",  # where /tmp is a disk of its own
    }, run.stdout


NOTEBOOK = {
    "type": "notebook",
    "content": {
        "cells": [
            {
                "cell_type": "code",
                "id": "c1",
                "metadata": {"trusted": True},
                "source": "1",
                "execution_count": 1,
                "outputs": [
                    {
                        "output_type": "display_data",
                        "metadata": {},
                        "data": {"text/html": "<b>kept</b><script>steal()</script>", "application/javascript": "x()"},
                    }
                ],
            }
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    },
}


def test_jupyterlab_works_in_the_folder_and_trusts_nothing_of_a_colleagues(alice: Member, bob: Member) -> None:
    assert "shared" in {entry["name"] for entry in bob.call("GET", "").json()["content"]}
    assert alice.call("PUT", "/shared/joint.ipynb", json=NOTEBOOK).status_code == 201
    opened = bob.call("GET", "/shared/joint.ipynb", params={"content": "1"})
    cell = opened.json()["content"]["cells"][0]
    assert cell["outputs"][0]["data"] == {"text/html": "<b>kept</b>"}
    assert cell["metadata"]["trusted"] is False
    assert bob.call("PUT", "/shared/joint.ipynb", json=NOTEBOOK).status_code == 200
    assert bob.call("POST", "/shared/joint.ipynb/checkpoints").status_code == 201
    moved = bob.call("PATCH", "/shared/joint.ipynb", json={"path": "joint.ipynb"})
    assert (moved.status_code, "a disk of its own" in moved.text) == (400, True)
    alice.run(f"import os; os.symlink('/proc/self/environ', '{FOLDER}/environ.ipynb'); os.chmod('{FOLDER}', 0o777)")
    assert bob.call("GET", "/shared/environ.ipynb", params={"content": "1"}).status_code in (403, 404)
    assert "environ.ipynb" not in {entry["name"] for entry in bob.call("GET", "/shared").json()["content"]}


def test_a_module_beside_a_shared_notebook_does_not_run_for_whoever_opens_it(alice: Member, bob: Member) -> None:
    alice.run(f"open('{FOLDER}/statistics.py', 'w').write('planted = True'); open('{FOLDER}/a.csv', 'w').write('x')")
    session = {"path": "shared/joint.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    opened = bob.browser.call("POST", f"{bob.here}/api/sessions", json=session)
    kernel = opened.json()["kernel"]["id"]
    code = "import os, statistics; print(os.getcwd(), hasattr(statistics, 'planted'), open('a.csv').read())"
    assert bob.browser.execute(bob.here, kernel, code).strip() == f"{FOLDER} False x"
    bob.browser.call("DELETE", f"{bob.here}/api/kernels/{kernel}")


def test_creation_and_fullness_are_on_record(shared_stand: Any, alice: Member) -> None:
    wait_for(lambda: shared_stand.has_record("shared-folder:created", PROJECT), "the record of the creation")
    created = [leaf for leaf in shared_stand.records() if leaf["type"] == "shared-folder:created"]
    assert [(leaf["project"], leaf["counts"]) for leaf in created] == [(PROJECT, {"megabytes": MEGABYTES})]
    fill = f"f = open('{FOLDER}/bomb', 'wb')\nwhile True: f.write(b'x' * 65536)"
    assert "No space left" in alice.run(fill)
    wait_for(lambda: shared_stand.has_record("shared-folder:full", PROJECT), "the record that the folder is full")
    assert alice.run(f"f.close()\nos.unlink('{FOLDER}/bomb'); print('room')").strip().endswith("room")


def test_an_end_for_too_many_files_is_on_record_and_told_in_french(shared_stand: Any) -> None:
    """A home of 16 MB may hold 1024 files; with a tenth more its kernels end."""
    shared_stand.portal.disk_mb = 16
    carol = shared_stand.browser("carol")
    carol.client.headers["Accept-Language"] = "fr"
    here = carol.start_workspace(PROJECT)
    shared_stand.portal.disk_mb = 20_480
    kernel = carol.open_kernel(here)
    many = "import os, pathlib\nfor n in range(1400): pathlib.Path(f'/home/researcher/{n}').touch()\nprint('made')"
    with suppress(TimeoutError, AssertionError):  # the kernel may end before it has answered
        carol.execute(here, kernel, many, 10)
    wait_for(lambda: shared_stand.has_record("workspace:limit-reached", PROJECT), "the record of the end")
    (leaf,) = [leaf for leaf in shared_stand.records() if leaf["type"] == "workspace:limit-reached"]
    people = AccessFiles(shared_stand.settings).people().values()
    assert leaf["actor"] == next(person.id for person in people if person.username == "carol")
    assert shared_stand.portal.started[leaf["workspace"]] == f"carol/{PROJECT}"
    assert (leaf["data"]["limit"], leaf["data"]["ended"], leaf["decision"]) == ("files", "kernels", "deny")
    assert leaf["counts"]["allowed"] == 1024 and 1126 < leaf["counts"]["found"] <= 1500
    refused = carol.call("POST", f"{here}/api/kernels", json={"name": "python3"})
    assert refused.status_code >= 400 and "aucun noyau ne tourne" in refused.json()["message"], refused.text
    told = carol.call("GET", f"{here}/enclave/limits").json()["reached"]
    assert [sorted(sentence) for sentence in told] == [["en", "fr"]]


def test_who_leaves_loses_the_folder_and_it_ends_with_the_project(
    shared_stand: Any, alice: Member, bob: Member
) -> None:
    device = (shared_stand.settings.shared_dir / PROJECT / "files").stat().st_dev
    assert mounts_of(200_001, device)
    runner = keys.hub_api_token(shared_stand.settings)
    stopped = shared_stand.hub_api("DELETE", f"/users/bob/servers/{PROJECT}", runner)
    assert stopped.status_code in (202, 204)
    wait_for(lambda: not mounts_of(200_001, device), "the end of bob's processes")
    close_for_good(shared_stand.settings, PROJECT)
    (folder,) = (r for r in find_remains(shared_stand.settings, PROJECT) if r.kind is RemainKind.SHARED_FOLDER)
    assert measure(folder.path).files > 0
    remove_tree(set_aside(folder).path)
    assert not (shared_stand.settings.shared_dir / PROJECT).exists()


def mounts_of(uid: int, device: int) -> list[int]:
    """Processes of this account that see this shared folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == uid and Path(f"{process}/root{FOLDER}").stat().st_dev == device:
                found.append(int(process.name))
    return found

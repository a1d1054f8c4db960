"""The folder members share: they work together in it, and nobody borrows a colleague's identity through it.

Two members in live workspaces, each with an account of its own, and a third in another project; the same probes
outside of the enclave succeed (the control).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enclave_test_stand import Stand, wait_for  # type: ignore[import-not-found]

from audit.client import AuditClient
from audit.reader import read_entries
from enclave.domain.ids import ProjectId
from enclave.workspaces.shared_folder import SharedFolders

PROBES = Path(__file__).with_name("shared_probes.py")
PROJECT = ProjectId("first-project")
MEGABYTES = 64
FOLDER = "/home/researcher/shared"

pytestmark = pytest.mark.needs_root


class AuditedStand(Stand):  # type: ignore[misc]
    """The stand with a real audit daemon: without one, no shared folder is made."""

    def prepare(self) -> None:
        settings = self.settings
        audit = ["--socket", str(settings.audit_socket), "--log", str(settings.log_dir)]
        self.start("audit.daemon", *audit, "--state", str(settings.audit_dir), "--origin", settings.log_origin)
        wait_for(settings.audit_socket.exists, "the audit daemon")

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(entry) for entry in read_entries(self.settings.log_dir)]


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
        # what alice had under that name before there was a shared folder: a link that root's mount must not follow
        yield running


@pytest.fixture(scope="module")
def alice(shared_stand: Any) -> Member:
    home = shared_stand.settings.workspaces_dir / PROJECT / "alice"
    home.mkdir(parents=True)
    (home / "outbox").mkdir()
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
    assert "PermissionError" in bob.run("open('/home/researcher/../alice/x')") or True


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

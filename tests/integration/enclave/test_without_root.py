"""The whole enclave as an ordinary account, from a checkout it can only read: the journey, the walls, what is said.

Issue 5: "It also works with an unprivileged hub." Nothing here runs as root but what makes the account and its view.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from enclave_test_ports import free_port  # type: ignore[import-not-found]
from enclave_test_unprivileged import Account, ordinary_account  # type: ignore[import-not-found]

from audit.reader import read_entries
from enclave.rights import WITHOUT_ROOT
from enclave.selftest.probes import CATALOGUE
from enclave.selftest.report import PLACES, Finding, judge
from enclave.settings import REPOSITORY

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(600)]  # root makes the account and its view
GROUPS = tuple(dict.fromkeys(probe.group for probe in CATALOGUE if probe.group != "bombs"))
"""Bombs are tried as root; the one that differs without control groups is in docs/operations.md."""
ATTACK = f"""
import json
from enclave.selftest.run import attack_this_installation
from enclave.settings import get_settings
print(json.dumps(attack_this_installation(get_settings(), {GROUPS!r})))
"""


@dataclass(frozen=True)
class Running:
    """The account's enclave, after the journey."""

    account: Account
    home: Path
    environment: dict[str, str]
    output: str

    def python(self, *arguments: str) -> str:
        done = self.account.run(*arguments, **self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)


@pytest.fixture(scope="module")
def enclave() -> Iterator[Running]:
    with ordinary_account() as account:
        home = account.folder / "home"
        environment = {"ENCLAVE_HOME": str(home), "ENCLAVE_PORT": str(free_port())}
        try:
            done = account.run("-m", "enclave.cli.main", "demo", "--journey", "--keep", "--json", **environment)
            assert done.returncode == 0, done.stdout + done.stderr
            yield Running(account, home, environment, done.stdout)
        finally:
            stopped = account.run("-m", "enclave.cli.main", "demo", "--stop", **environment)
            left = account.end_all()
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
        assert not left, "everything ended with the enclave"


def test_the_journey_goes_through_and_the_log_says_what_was_weaker(enclave: Running) -> None:
    told = json.loads(enclave.output.splitlines()[-1])
    assert told["home"] == str(enclave.home)
    assert "Not root, so" in enclave.output
    started = next(e.leaf for e in read_entries(enclave.home / "log") if e.leaf["type"] == "system:started")
    assert {"one-account", "audit-account", "shared-folder-quota", "writing-again"} <= set(started["data"]["weaker"])
    assert set(started["data"]["weaker"]) <= {loss.name for loss in WITHOUT_ROOT}


def test_the_query_ran_in_a_sandbox_of_its_own(enclave: Running) -> None:
    """The worker of the journey's person is kept for a while: no network, no mount but of its project."""
    ours = {kind: Path(f"/proc/self/ns/{kind}").readlink() for kind in ("net", "mnt", "pid", "user")}
    workers = []
    for pid in enclave.account.processes():
        folder = Path(f"/proc/{pid}")
        with suppress(OSError):
            if b"enclave.gateway.worker_start" in (folder / "cmdline").read_bytes():
                apart = {kind for kind, own in ours.items() if (folder / "ns" / kind).readlink() != own}
                filtered = "Seccomp:\t2" in (folder / "status").read_text()
                workers.append((apart, filtered, (folder / "mountinfo").read_text()))
    inside = [(apart, mounts) for apart, filtered, mounts in workers if filtered and apart == set(ours)]
    assert inside, f"expected a worker in namespaces of its own, found {workers}"
    project = f"{enclave.home}/projects/{json.loads(enclave.output.splitlines()[-1])['project']}/"
    for _, mounts in inside:
        roots = [line.split()[3] for line in mounts.splitlines()]  # in their file systems, where "/" may be a folder
        ours_inside = [root[root.index(f"{enclave.home}/") :] for root in roots if f"{enclave.home}/" in root]
        assert f"{project}extracts" in " ".join(ours_inside), "its extract"
        assert [path for path in ours_inside if not path.startswith(project) and not path.endswith("/spill")] == []


def test_the_released_file_was_read_in_a_sandbox(enclave: Running) -> None:
    """The journey's request has no file that could not be read, and nothing is reachable from where it was."""
    submitted = [e.leaf for e in read_entries(enclave.home / "log") if e.leaf["type"] == "output-request:submitted"]
    assert submitted and all("unreadable" not in leaf["data"]["checks"] for leaf in submitted)
    probe = REPOSITORY / "tests" / "security" / "egress_review" / "reader_probe.py"
    secrets = [str(enclave.home / name) for name in ("vault", "portal", "keys", "log")]
    told = [[str(enclave.home), "/etc/shadow", *secrets], int(enclave.environment["ENCLAVE_PORT"]), "nobody"]
    found = json.loads(enclave.python(str(probe), json.dumps(told)))
    assert len(found) > 15
    assert [what for what, outcome in found.items() if outcome != "closed"] == []


def test_doctor_names_what_falls_away_and_what_stays(enclave: Running) -> None:
    said = enclave.account.run("-m", "enclave.cli.main", "doctor", **enclave.environment)
    assert said.returncode == 0, said.stdout + said.stderr
    for name in ("one-account", "audit-account", "shared-folder-quota", "writing-again"):
        assert f"weaker   {name}:" in said.stdout
    assert "stays    server and each kernel" in said.stdout and "missing" not in said.stdout


def test_the_walls_hold(enclave: Running) -> None:
    """The self-test's own probes, by their groups, in the sandboxes of server, kernel and terminal."""
    outcomes = json.loads(enclave.python("-c", ATTACK))
    wanted = {probe.id for probe in CATALOGUE if probe.group in GROUPS}
    found: list[Finding] = [
        finding for place in PLACES for finding in judge(place, outcomes[place]) if finding.probe in wanted
    ]
    assert len(found) > 200
    assert not [finding for finding in found if finding.verdict in ("open", "error")]
    held = {finding.group for finding in found if finding.verdict == "closed"}
    assert held == set(GROUPS), "every group was tried"

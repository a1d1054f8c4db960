"""Every probe, in the sandboxes of both engines and in two controls, against the table of expected outcomes.

Ours run through ``enclave selftest``'s own code on a real audit daemon and gateway; the controls show that each probe
can find an open door: in a stock DockerSpawner container, or as root without confinement.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import control_stage
import isolation_outcomes as table
import pytest
import stack
import stock_dockerspawner

from audit.alerts.rules import RULES_BY_ID
from enclave.selftest.bundle import NAME, bundle
from enclave.selftest.probes import CATALOGUE
from enclave.selftest.report import PLACES, Report, stored, to_text
from enclave.selftest.residuals import RESIDUALS
from enclave.selftest.run import run_selftest
from enclave.selftest.surroundings import Surroundings
from enclave.selftest.workspace import SelftestError
from enclave.settings import REPOSITORY

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(600)]
Outcomes = dict[str, list[str]]
IDS = [probe.id for probe in CATALOGUE]


def unconfined(folder: Path) -> Outcomes:
    """Root in namespaces of its own, with the whole stage."""
    (folder / NAME).write_bytes(bundle())
    (folder / "house").mkdir()
    namespaces = ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc"]
    command = [*namespaces, sys.executable, control_stage.__file__, str(folder / NAME), str(folder / "house")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: Outcomes = json.loads((folder / "results.json").read_text())
    return found


def attack_ours(installation: Any, engine: str, docker_host: str) -> Report:
    image = sys.modules["enclave_test_docker"].BASE_IMAGE
    more = {"engine": engine, "docker_host": docker_host, "docker_image": image}
    return run_selftest(installation.settings.model_copy(update=more), "asked")


@pytest.fixture(scope="module")
def installation() -> Iterator[Any]:
    """Audit daemon and gateway of a real installation; the other doors have somebody behind them who answers."""
    with stack.running_stack() as running:
        running.add_project()
        running.socket()
        settings = running.settings
        settings.workspaces_dir.mkdir(mode=0o711, exist_ok=True)
        for folder in (settings.vault_dir, settings.producer_dir, settings.database_dir):
            folder.mkdir()
        (settings.database_dir / "portal.sqlite3").touch()
        other = settings.run_dir / "ws" / "w-another" / "host"
        other.mkdir(parents=True)
        doors = (settings.hub_socket, settings.portal_socket, settings.edge_api_socket, other / "j.sock")
        with Surroundings() as around:
            for path in doors:
                around.listen(socket.AF_UNIX, socket.SOCK_STREAM, str(path))
            yield running


@pytest.fixture(scope="module")
def attacks(
    installation: Any, docker_host: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Any]]]:
    """Ours one after the other, and the controls beside them."""
    image = sys.modules["enclave_test_docker"].BASE_IMAGE
    with ThreadPoolExecutor(1) as ours, ThreadPoolExecutor(1) as controls:
        running: dict[str, Future[Any]] = {
            engine: ours.submit(attack_ours, installation, engine, docker_host) for engine in table.ENGINES
        }
        folders = [tmp_path_factory.mktemp(name) for name in ("unconfined", "stock")]
        running["unconfined"] = controls.submit(unconfined, folders[0])
        stock = stock_dockerspawner.run_probes
        running["stock"] = controls.submit(stock, docker_host, image, folders[1], bundle())
        yield running


def test_the_catalogue_is_large_and_every_probe_speaks_both_languages() -> None:
    assert len(CATALOGUE) >= 120
    assert len(set(IDS)) == len(IDS)
    assert all(probe.en.endswith(".") and probe.fr.endswith(".") and probe.en != probe.fr for probe in CATALOGUE)


def test_nothing_is_expected_to_be_open_that_is_not_written_down() -> None:
    noted = {probe.id for probe in CATALOGUE if probe.noted}
    for opened in table.OURS_OPEN.values():
        assert opened <= noted | set(RESIDUALS)
    threats = (REPOSITORY / "docs" / "threat-model.md").read_text()
    assert all(f"`{probe}`" in threats for probe in RESIDUALS)


@pytest.mark.parametrize("engine", table.ENGINES)
def test_our_sandboxes_are_closed(attacks: dict[str, Future[Any]], engine: str) -> None:
    report = attacks[engine].result()
    assert report.is_good, to_text(report)
    found = {finding.probe for finding in report.findings if finding.verdict in ("noted", "residual")}
    assert found - table.OURS_OPEN[engine] == set()
    assert {f.probe for f in report.findings} == set(IDS)
    assert {f.place for f in report.findings} == {"server", "kernel", "terminal"}


def test_what_there_is_to_aim_at_was_aimed_at(attacks: dict[str, Future[Any]]) -> None:
    """Only what this machine does not have is left out; the installation's own doors and files are all there."""
    report = attacks["bubblewrap"].result()
    left_out = {f.probe for f in report.findings if f.verdict == "not-applicable"}
    of_the_machine = "docker-socket containerd-socket systemd-socket dbus-socket journal-socket".split()
    allowed = {f"connect-{name}" for name in of_the_machine} | {"read-ssh-key", "read-config", "read-machine-id"}
    allowed |= {"list-var-log", "list-boot", "list-modules", "list-docker-folder", "call-ioperm", "call-iopl"}
    allowed |= {"tcp6-loopback", "udp6-loopback", "call-modify-ldt", "sysv-list"}
    assert left_out - allowed == set()


def test_every_probe_that_can_is_open_without_confinement(attacks: dict[str, Future[Any]]) -> None:
    found = attacks["unconfined"].result()
    wanted = {probe for probe in IDS if table.expected(probe, "unconfined") == table.OPEN}
    assert {probe: found[probe] for probe in wanted if found[probe][0] != "open"} == {}
    assert not [probe for probe in IDS if found[probe][0] == "error"]


def test_a_stock_dockerspawner_lets_through_what_the_table_says(attacks: dict[str, Future[Any]]) -> None:
    """What depends on the kernel may differ where the unconfined control says that this kernel has it, or has not."""
    found = attacks["stock"].result()
    certain = [probe for probe in IDS if probe not in table.NOT_HERE_UNCONFINED]
    opened = {probe for probe in certain if found[probe][0] == "open"}
    assert opened ^ (table.STOCK_OPEN & set(certain)) == set()
    assert {probe for probe in certain if found[probe][0] == "error"} == set()


def test_no_probe_is_closed_everywhere(attacks: dict[str, Future[Any]]) -> None:
    """Open in one of the controls; or the control itself says that this machine has nothing of the kind."""
    stock, free = attacks["stock"].result(), attacks["unconfined"].result()
    never = {probe for probe in IDS if "open" not in (stock[probe][0], free[probe][0])}
    assert never - table.NOT_HERE_UNCONFINED == set()


def test_it_is_on_record_from_the_first_to_the_last(installation: Any, attacks: dict[str, Future[Any]]) -> None:
    reports = [attacks[engine].result() for engine in table.ENGINES]
    installation.wait_for(lambda: len(installation.events("selftest:finished")) >= 2, 60, "both outcomes")
    started, finished = installation.events("selftest:started"), installation.events("selftest:finished")
    assert [leaf["data"]["engine"] for leaf in started] == list(table.ENGINES)
    assert [leaf["subject"] for leaf in finished] == [leaf["subject"] for leaf in started]
    for leaf, report in zip(finished, reports, strict=True):
        assert leaf["decision"] == "allow"
        assert leaf["counts"]["closed"] == report.counts()["closed"] > 500
    assert {r.engine for r in stored(installation.settings)} == set(table.ENGINES)
    assert "isolation" in RULES_BY_ID


def test_nothing_of_the_throw_away_workspace_is_left(installation: Any, attacks: dict[str, Future[Any]]) -> None:
    for engine in table.ENGINES:
        attacks[engine].result()
    settings = installation.settings
    for above in (settings.workspaces_dir, settings.shared_dir, settings.projects_dir):
        assert not (above / "selftest").exists()
    assert [path.name for path in (settings.run_dir / "ws").iterdir()] == ["w-another"]


def test_an_open_probe_is_on_record_and_fails(installation: Any, attacks: dict[str, Future[Any]]) -> None:
    attacks["docker"].result()  # one self-test at a time
    closed = {probe.id: ["closed", "EPERM"] for probe in CATALOGUE}
    outcomes = {place: closed for place in PLACES} | {"kernel": {**closed, "call-bpf": ["open", "a descriptor"]}}
    report = run_selftest(installation.settings, "asked", lambda settings: outcomes)
    assert not report.is_good
    leaf = installation.wait_event("selftest:finished", open=["call-bpf"])
    assert (leaf["decision"], leaf["counts"]["open"]) == ("deny", 1)


def test_one_that_cannot_be_carried_out_is_on_record_too(installation: Any, attacks: dict[str, Future[Any]]) -> None:
    attacks["docker"].result()

    def fail(settings: object) -> dict[str, Any]:
        raise SelftestError("The sandbox did not start.")

    report = run_selftest(installation.settings, "asked", fail)
    assert report.problem == "The sandbox did not start." and not report.is_good
    assert installation.wait_event("selftest:finished", problem=report.problem)["decision"] == "deny"

"""Clients we did not write, unmodified, each through the whole suite: what docs/clients.md says of them is true."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import CLIENTS, ON_ADBC
from documented import DOORS, examples, table
from suite import Finding, Gateway, run_client

EXAMPLE_SECONDS = 60
LONGEST_EXAMPLE = 8


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_does_what_the_documentation_says(
    client: str, gateway: Any, door: Gateway, command_of: Callable[[str], list[str]]
) -> None:
    before = cancelled(gateway)
    found = run_client(command_of(client), door)
    assert differing(client, found) == {}
    documented = {check: result for check, result in table()[client].items() if check not in DOORS}
    assert {check for check, result in documented.items() if result != "not-offered"} <= set(found)
    if found["cancel"].result == "yes":
        gateway.wait_for(lambda: cancelled(gateway) > before, what="the record of the cancelled query")


@pytest.mark.parametrize("row", DOORS)
def test_the_same_goes_over_tls(
    row: str, tls_doors: dict[str, Gateway], command_of: Callable[[str], list[str]]
) -> None:
    """The clients at once: most of the time they wait for something."""
    commands = {client: command_of(client) for client in CLIENTS if client not in ON_ADBC}
    with ThreadPoolExecutor(len(commands)) as several:
        runs = {client: several.submit(run_client, command, tls_doors[row]) for client, command in commands.items()}
    differences = {client: differing(client, run.result()) for client, run in runs.items()}
    assert differences == {client: {} for client in commands}
    assert {table()[client][row] for client in CLIENTS} == {"yes"}


def differing(client: str, found: dict[str, Finding]) -> dict[str, str]:
    """Where a run of the suite and the documentation do not agree."""
    documented = table()[client]
    return {
        check: f"documented {documented.get(check)}, found {finding.result}: {finding.trouble}"
        for check, finding in found.items()
        if documented.get(check) != finding.result
    }


def cancelled(gateway: Any) -> int:
    """Recorded queries that ended because the client wanted it."""
    return sum(leaf["data"].get("status") == "cancelled" for leaf in gateway.events("query:outcome"))


def test_the_documentation_s_table_has_every_client() -> None:
    assert set(table()) == set(CLIENTS)


@pytest.mark.parametrize("number", range(len(examples("python"))))
def test_the_documentation_s_python_examples_run(
    number: int, door: Gateway, client_python: str, tmp_path: Path
) -> None:
    text = examples("python")[number]
    assert len([line for line in text.splitlines() if line.strip()]) <= LONGEST_EXAMPLE
    (tmp_path / "token").write_text(door.token)
    script = tmp_path / "example.py"
    script.write_text(text)
    own = {
        "ENCLAVE_GATEWAY": f"grpc+unix://{door.socket}",
        "ENCLAVE_TCP": door.address,
        "ENCLAVE_TOKEN_FILE": str(tmp_path / "token"),
    }
    done = subprocess.run(
        [client_python, str(script)],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=EXAMPLE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1000" in done.stdout

"""Invariant 3: a worker can open only its project's extract, whatever code runs inside it. The OS says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.gateway.engine import Engine, EngineLimits, open_extract
from enclave.gateway.worker_process import WorkerPlan, worker_profile
from enclave.sandbox import Bind, popen, python_binds

PROBE = Path(__file__).with_name("probe.py")


@pytest.fixture(scope="module")
def findings(gateway: Any) -> dict[str, str]:
    """What the probe could do, in exactly the profile a worker gets."""
    folder = gateway.settings.projects_dir / "heart-study" / "extracts" / "v1"
    profile = worker_profile(WorkerPlan(folder, gateway.home / "unused.sock", 300_077))
    profile = replace(profile, binds=(*profile.binds, Bind(PROBE, Path("/probe.py"))))
    argv = [sys.executable, "-I", "/probe.py", str(gateway.home), str(gateway.front.pid)]
    process = popen(profile, argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()[-500:]
    found: dict[str, str] = json.loads(output)
    return found


@pytest.mark.parametrize(
    "attempt",
    [
        "home",
        "other extract",
        "own project's permit",
        "keys",
        "producer",
        "people",
        "audit socket",
        "shadow",
        "overwrite the extract",
        "new file beside the extract",
        "write program",
        "internet",
        "loopback",
        "fill tmp",
        "become root",
        "mount",
        "signal outside",
    ],
)
def test_nothing_but_the_own_extract_is_reachable(findings: dict[str, str], attempt: str) -> None:
    assert not findings[attempt].startswith("worked"), findings[attempt]


def test_the_own_extract_is_readable_and_nothing_is_inherited(findings: dict[str, str]) -> None:
    assert findings["extract is readable"] == "True"
    assert "ENCLAVE" not in findings["environment"]
    assert int(findings["processes"]) <= 3
    assert findings["uid"] == ("300077" if os.geteuid() == 0 else str(os.geteuid()))


def test_the_file_system_is_the_sandbox_s_own(findings: dict[str, str]) -> None:
    own = {"usr", "bin", "lib", "lib64", "sbin", "proc", "dev", "tmp", "run", "etc", "sys", "extract", "probe.py"}
    own |= {bind.target.parts[1] for bind in python_binds()}
    assert set(findings["top folder"].split()) <= own


@pytest.fixture(scope="module")
def engine(gateway: Any) -> Engine:
    """A worker's engine without sandbox and without gate: the second wall on its own."""
    folder = gateway.settings.projects_dir / "heart-study" / "extracts" / "v1"
    return open_extract(folder, EngineLimits(memory_mb=256, threads=1))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "ATTACH '/tmp/x.duckdb'",
        "COPY person TO '/tmp/x.csv'",
        "INSERT INTO person VALUES (1)",
        "CREATE TABLE x AS SELECT 1",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SET temp_directory = '/tmp'",
        "RESET lock_configuration",
        "EXPORT DATABASE '/tmp/x'",
    ],
)
def test_the_locked_engine_refuses_on_its_own(engine: Engine, statement: str) -> None:
    import duckdb

    with pytest.raises(duckdb.Error):
        engine.cursor().execute(statement)


def test_python_variables_are_no_tables(engine: Engine) -> None:
    import duckdb
    import pyarrow as pa

    hidden = pa.table({"a": [1]})
    with pytest.raises(duckdb.CatalogException):
        engine.cursor().execute("SELECT * FROM hidden")
    assert hidden.num_rows == 1

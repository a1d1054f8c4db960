"""Landlock on its own: a worker whose engine is NOT locked can still read and write nothing but what is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.gateway.landlock import landlock_version
from enclave.gateway.worker_process import WorkerPlan, worker_profile
from enclave.sandbox import Bind, popen

PROBE = Path(__file__).with_name("landlock_probe.py")
UID = 300_078


@pytest.fixture(scope="module")
def findings(gateway: Any) -> dict[str, str]:
    """What DuckDB without any lock could do in a worker's sandbox, in which more is mounted than a worker gets."""
    folder = gateway.settings.projects_dir / "heart-study" / "extracts" / "v1"
    spill, scratch, foreign = (gateway.home / name for name in ("l-spill", "l-scratch", "l-foreign"))
    for path in (spill, scratch, foreign):
        path.mkdir()
        os.chown(path, UID if os.geteuid() == 0 else -1, -1)
    (foreign / "secret.csv").write_text("a\n1\n")
    (foreign / "secret.csv").chmod(0o666)
    plan = WorkerPlan(folder, gateway.home / "unused.sock", UID, spill, scratch)
    profile = worker_profile(plan)
    profile = replace(
        profile, binds=(*profile.binds, Bind(PROBE, Path("/probe/p.py")), Bind(foreign, Path("/foreign"), True))
    )
    process = popen(
        profile,
        [sys.executable, "-I", "/probe/p.py"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()[-800:]
    found: dict[str, str] = json.loads(output)
    return found


def test_the_kernel_here_has_landlock() -> None:
    assert landlock_version() >= 1


@pytest.mark.parametrize("attempt", ["read the extract", "spill", "scratch", "large sort that spills"])
def test_what_is_its_own_works(findings: dict[str, str], attempt: str) -> None:
    assert findings[attempt] == "worked"


@pytest.mark.parametrize(
    "attempt",
    [
        "read a foreign file",
        "list a foreign folder",
        "write a foreign file",
        "attach a foreign database",
        "overwrite the extract",
        "new file beside the extract",
        "write to tmp",
        "write to shared memory",
        "read through a thread",
        "python read",
        "python write",
        "run a program from scratch",
        "TCP",
    ],
)
def test_nothing_else_does(findings: dict[str, str], attempt: str) -> None:
    assert findings[attempt] != "worked", findings[attempt]

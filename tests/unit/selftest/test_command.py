"""``enclave selftest`` as a command: what it prints, its exit code, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_report import CLOSED, report  # type: ignore[import-not-found]
from typer.testing import CliRunner

from enclave.cli import selftest as command
from enclave.cli.main import app
from enclave.domain.decisions import RefusedError
from enclave.selftest.run import run_selftest, with_engine
from enclave.settings import Settings


@pytest.mark.parametrize(("outcome", "code"), [("closed", 0), ("open", 1), ("error", 1)])
def test_the_exit_code_says_whether_anything_is_open(
    outcome: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENCLAVE_HOME", str(tmp_path))
    found = report({**CLOSED, "call-bpf": [outcome, "x"]})
    monkeypatch.setattr(command, "run_selftest", lambda settings, reason: found)
    asked = CliRunner().invoke(app, ["selftest", "--json"])
    assert asked.exit_code == code
    assert json.loads(asked.stdout)["good"] is (code == 0)
    assert "call-bpf" in CliRunner().invoke(app, ["selftest"]).stdout or code == 0


def test_it_needs_a_running_enclave(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="found no audit daemon"):
        run_selftest(Settings(home=tmp_path), "asked")
    assert not (tmp_path / "selftest").exists()


def test_an_engine_there_is_not(tmp_path: Path) -> None:
    assert with_engine(Settings(home=tmp_path), "docker").engine == "docker"
    with pytest.raises(RefusedError, match="bubblewrap or docker"):
        with_engine(Settings(home=tmp_path), "podman")

"""``enclave selftest`` as a command: what it prints, its exit code, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from test_report import CLOSED, report  # type: ignore[import-not-found]
from typer.testing import CliRunner

from audit.event import AuditEvent
from enclave.cli import selftest as command
from enclave.cli.main import command_line
from enclave.domain.decisions import RefusedError
from enclave.selftest import run, workspace
from enclave.selftest.report import stored
from enclave.selftest.run import run_selftest, with_engine
from enclave.settings import Settings
from enclave.workspaces.services import PartnerAwayError


@pytest.mark.parametrize(("outcome", "code"), [("closed", 0), ("open", 1), ("error", 1)])
def test_the_exit_code_says_whether_anything_is_open(
    outcome: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENCLAVE_HOME", str(tmp_path))
    found = report({**CLOSED, "call-bpf": [outcome, "x"]})
    monkeypatch.setattr(command, "run_selftest", lambda settings, reason: found)
    asked = CliRunner().invoke(command_line(), ["selftest", "--json"])
    assert asked.exit_code == code
    assert json.loads(asked.stdout)["good"] is (code == 0)
    assert "call-bpf" in CliRunner().invoke(command_line(), ["selftest"]).stdout or code == 0


def test_it_needs_a_running_enclave(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="found no audit daemon"):
        run_selftest(Settings(home=tmp_path), "asked")
    assert not (tmp_path / "selftest").exists()


def test_an_engine_there_is_not(tmp_path: Path) -> None:
    assert with_engine(Settings(home=tmp_path), "docker").engine == "docker"
    with pytest.raises(RefusedError, match="bubblewrap or docker"):
        with_engine(Settings(home=tmp_path), "podman")


class UnsafeLog:
    """Keeps what it is given, in memory."""

    records: ClassVar[list[AuditEvent]] = []
    open: ClassVar[int] = 0

    def __init__(self, *_: object) -> None:
        UnsafeLog.open += 1

    def record(self, event: AuditEvent) -> Any:
        UnsafeLog.records.append(event)
        return SimpleNamespace(index=len(UnsafeLog.records) - 1)

    def close(self) -> None:
        UnsafeLog.open -= 1


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> type[UnsafeLog]:
    monkeypatch.setattr(UnsafeLog, "records", [])
    monkeypatch.setattr(run, "AuditClient", UnsafeLog)
    monkeypatch.setattr(run, "_check_it_runs", lambda settings: None)
    return UnsafeLog


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyError("of a probe")])
def test_one_that_is_stopped_or_breaks_has_its_end_on_record(
    error: BaseException, log: type[UnsafeLog], tmp_path: Path
) -> None:
    def attack(settings: Settings) -> run.Outcomes:
        raise error

    with pytest.raises(type(error)):
        run_selftest(Settings(home=tmp_path), "asked", attack)
    assert [record.type for record in log.records] == ["selftest:started", "selftest:finished"]
    assert (log.records[1].decision, log.records[1].subject) == ("deny", log.records[0].subject)
    assert type(error).__name__ in str(log.records[1].data["problem"])
    assert stored(Settings(home=tmp_path)) == [], "it is still due"
    assert log.open == 0


def test_without_git_the_code_is_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(run, "REPOSITORY", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "+" not in run.code_version() and run.code_version() != ""


def test_a_gateway_that_goes_away_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed = []

    class Partners:
        def __init__(self, settings: Settings) -> None: ...

        async def open_gateway(self, *_: object) -> None: ...

        async def close_gateway(self, workspace: str) -> None:
            closed.append(workspace)
            raise PartnerAwayError("Found nobody.", "gateway")

    monkeypatch.setattr(workspace, "Partners", Partners)
    monkeypatch.setattr(workspace, "_token", lambda settings, workspace: "token")
    settings = Settings(home=tmp_path)
    with pytest.raises(PartnerAwayError), workspace.opened(settings) as running:
        assert running.places.token.exists() and running.other_places.token.exists() and running.home.exists()
    assert set(closed) == {running.workspace, running.other}
    assert not running.places.folder.exists() and not running.other_places.folder.exists()
    assert not (settings.workspaces_dir / workspace.PROJECT).exists()

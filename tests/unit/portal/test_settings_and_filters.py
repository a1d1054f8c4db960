"""Settings import without touching anything; the audit filters and the steps of a project's page."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.reader import LogEntry
from enclave.domain.projects import ProjectState
from enclave.portal.audit_events import EventFilter, EventIndex, matches
from enclave.portal.django_settings import database_settings
from enclave.portal.middleware import status_of
from enclave.portal.project_page import steps_of
from enclave.settings import REPOSITORY, Settings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def entry(**leaf: Any) -> LogEntry:
    base = {"type": "query:intent", "actor": "u-1", "subject": "q-1", "project": "p", "at": NOON.isoformat()}
    return LogEntry(0, {**base, **leaf}, "00")


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (EventFilter(), True),
        (EventFilter(persons=frozenset({"u-1"})), True),
        (EventFilter(persons=frozenset({"q-1"})), True),
        (EventFilter(persons=frozenset({"u-2"})), False),
        (EventFilter(persons=frozenset()), False),
        (EventFilter(project="p"), True),
        (EventFilter(project="other"), False),
        (EventFilter(type="query:intent"), True),
        (EventFilter(type="query:outcome"), False),
        (EventFilter(text="INTENT"), True),
        (EventFilter(text="q-1"), True),
        (EventFilter(text="select"), False),
        (EventFilter(since=NOON), True),
        (EventFilter(since=NOON + timedelta(seconds=1)), False),
        (EventFilter(until=NOON), False),
        (EventFilter(until=NOON + timedelta(seconds=1)), True),
    ],
)
def test_filters(wanted: EventFilter, passes: bool) -> None:
    assert matches(entry(), wanted) is passes


def test_a_log_without_a_checkpoint_is_empty(tmp_path: Path) -> None:
    assert EventIndex(tmp_path).entries() == []


@pytest.mark.parametrize(
    ("state", "phases"),
    [
        (ProjectState.SUBMITTED, ["now", "next", "next", "next"]),
        (ProjectState.APPROVED, ["done", "done", "next", "next"]),
        (ProjectState.PROVISIONING, ["done", "done", "now", "next"]),
        (ProjectState.FAILED, ["done", "done", "failed", "next"]),
        (ProjectState.ACTIVE, ["done", "done", "done", "done"]),
        (ProjectState.REJECTED, ["done", "failed"]),
        (ProjectState.CLOSED, ["done", "failed"]),
    ],
)
def test_steps(state: ProjectState, phases: list[str]) -> None:
    assert [step.phase for step in steps_of(state)] == phases


def test_importing_the_settings_creates_nothing_and_signs_with_no_known_key(tmp_path: Path) -> None:
    code = "from enclave.portal import django_settings as s; print(s.SECRET_KEY)"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(keys) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_database_address_becomes_djangos_settings() -> None:
    url = "postgresql://enclave:p%40ss@db.internal:5433/portal"
    found = database_settings(Settings(database_url=url))
    assert (found["NAME"], found["USER"], found["PASSWORD"]) == ("portal", "enclave", "p@ss")
    assert (found["HOST"], found["PORT"]) == ("db.internal", "5433")
    on_socket = database_settings(Settings(database_url="postgresql://enclave@/portal?host=%2Frun%2Fpg"))
    assert (on_socket["HOST"], on_socket["PORT"]) == ("/run/pg", "")


def test_errors_that_are_not_ours_get_no_page_of_ours() -> None:
    assert status_of(ValueError("a detail")) is None

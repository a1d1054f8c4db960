"""Settings import without touching anything; the audit filters and the steps of a project's page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg.pq import Conninfo

from audit.index import Histogram, Wanted
from enclave.domain.decisions import RefusedError
from enclave.domain.projects import ProjectState
from enclave.portal.auditing import filters
from enclave.portal.auditing.timeline import timeline_of
from enclave.portal.database_address import PASSED_ON, database_settings
from enclave.portal.middleware import status_of
from enclave.portal.project_page import steps_of
from enclave.settings import REPOSITORY, Settings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_the_record_of_a_reading_says_the_filter_but_no_free_text() -> None:
    wanted = Wanted(persons=frozenset({"u-1", "Amélie Martin"}), project="p", since=NOON, text="secret words")
    recorded = filters.recorded(wanted)
    assert recorded == {"persons": ["u-1"], "project": "p", "since": NOON.isoformat()}


def test_an_address_keeps_the_filters_and_leaves_the_place_in_the_pages() -> None:
    query = {"person": "karim", "type": "", "before": "120"}
    assert filters.address(query, type="query:intent") == "person=karim&type=query%3Aintent"


def test_bars_are_links_to_their_time_and_fill_the_drawing() -> None:
    found = Histogram(timedelta(hours=1), ((NOON, 10), (NOON + timedelta(hours=1), 0), (NOON + timedelta(hours=2), 5)))
    drawn = timeline_of(found, {"project": "p"})
    assert drawn is not None
    assert [(bar.count, bar.height) for bar in drawn.bars] == [(10, "56.0"), (5, "28.0")]
    assert drawn.bars[1].query == "project=p&since=2026-11-21T14%3A00&until=2026-11-21T15%3A00"
    assert drawn.last == NOON + timedelta(hours=3)


def test_one_bar_says_no_more_than_the_number() -> None:
    assert timeline_of(Histogram(timedelta(hours=1), ((NOON, 10),)), {}) is None


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


DATABASE = ("NAME", "USER", "PASSWORD", "HOST", "PORT")


@pytest.mark.parametrize(
    ("url", "places", "options"),
    [
        (
            "postgresql://enclave:p%40ss@db.internal:5433/portal",
            ["portal", "enclave", "p@ss", "db.internal", "5433"],
            {},
        ),
        ("postgres://enclave@/portal?host=%2Frun%2Fpg", ["portal", "enclave", "", "/run/pg", ""], {}),
        ("postgresql://e@[::1]/portal", ["portal", "e", "", "::1", ""], {}),
        (
            "postgresql://e@a.internal:5433,b.internal:5434/portal?target_session_attrs=read-write",
            ["portal", "e", "", "a.internal,b.internal", "5433,5434"],
            {"target_session_attrs": "read-write"},
        ),
        (
            "postgresql://e@db/portal?sslmode=verify-full&sslrootcert=%2Fetc%2Fsite%20ca.pem&connect_timeout=5",
            ["portal", "e", "", "db", ""],
            {"sslmode": "verify-full", "sslrootcert": "/etc/site ca.pem", "connect_timeout": "5"},
        ),
    ],
)
def test_a_database_address_becomes_djangos_settings(url: str, places: list[str], options: dict[str, str]) -> None:
    found = database_settings(Settings(database_url=url))
    assert [found[name] for name in DATABASE] == places
    assert found["OPTIONS"] == options


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://e:s3cret@db/portal?sslmod=require", "found sslmod. "),
        ("postgresql://e:s3cret@db/portal?sslmode=require&service=other&replication=on", "found replication, service."),
        ("postgresql://e:s3cret@db/portal?application_name=a#b&service=other", "found service."),
        ("postgresql://e:s3cret@db", "name of a database"),
        ("postgresql://e:s3cret%zz@db/portal", "libpq can read"),
        ("postgresql://e:s3cret@[::1/portal", "libpq can read"),
        ("mysql://e:s3cret@db/portal", "address of PostgreSQL"),
        ("host=db password=s3cret", "address of PostgreSQL"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_without_repeating_it(url: str, said: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(said)) as refused:
        database_settings(Settings(database_url=url))
    assert "s3cret" not in str(refused.value)


def test_libpq_knows_every_parameter_that_is_passed_on() -> None:
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    assert known >= PASSED_ON


def test_errors_that_are_not_ours_get_no_page_of_ours() -> None:
    assert status_of(ValueError("a detail")) is None

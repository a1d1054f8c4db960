"""Builds that end in the middle: killed, stopped, out of disk. Nothing half-written, nothing unrecorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from enclave.domain.ids import ExtractVersion, ProjectId
from enclave.extracts.failures import DISK_FULL
from enclave.extracts.launch import run_builder
from enclave.extracts.version_folder import clear_stale

PROJECT, VERSION = ProjectId("stays"), ExtractVersion("v1")


@pytest.fixture
def endless_source(tmp_path: Path) -> Path:
    """A DuckDB file whose vocabulary, the last table, is a view over a billion numbers: a build never ends in time."""
    file = tmp_path / "endless.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE person AS SELECT 5 AS person_id, 1950 AS birth_year, 'Dijon' AS town")
        connection.execute(
            "CREATE TABLE stay AS SELECT 1 AS stay_id, 5 AS person_id, 5 AS mother_id, "
            "DATE '2015-01-01' AS start_date, DATE '2015-01-01' AS end_date, "
            "TIMESTAMP '2015-01-01' AS started_at, DATE '2015-01-01' AS month, "
            "7 AS cost, 'north' AS ward"
        )
        connection.execute(
            "CREATE VIEW concept AS SELECT n AS code, 1 AS label, DATE '1970-01-01' AS valid_from "
            "FROM range(1000000000) t(n) WHERE sha256(n::VARCHAR) > '1'"
        )
    return file


@contextmanager
def started(house, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """The builder as a process of its own, without the sandbox; killed at the end."""
    command = [*before, sys.executable, "-m", "enclave.extracts.build", "--project", PROJECT, "--version", VERSION]
    env = {**os.environ, "ENCLAVE_HOME": str(house.settings.root)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_the_data_file(house, wait_for: Callable[..., None]) -> None:
    extracts = house.settings.projects_dir / PROJECT / "extracts"
    wait_for(lambda: list(extracts.glob(".tmp-*/extract.duckdb")), "the builder to write")


def extract_records(house) -> Sequence[str]:
    return [kind for kind, _ in house.records() if kind.startswith("extract:")]


def test_a_killed_build_leaves_no_version_and_the_next_one_cleans_up(
    house, endless_source, small_source, wait_for
) -> None:
    house.register(endless_source, opt_outs=())
    with started(house):
        wait_for_the_data_file(house, wait_for)
    assert [name for name in house.left_behind() if not name.startswith(".tmp-")] == []
    house.register(small_source)
    assert house.build() == ()
    assert house.left_behind() == ["v1"]
    assert extract_records(house) == ["extract:started", "extract:started", "extract:built"]


def test_what_a_killed_build_left_can_be_cleared(house, endless_source, wait_for) -> None:
    house.register(endless_source, opt_outs=())
    with started(house):
        wait_for_the_data_file(house, wait_for)
        assert clear_stale(house.settings, PROJECT) == 0, "a running build must be left alone"
    assert clear_stale(house.settings, PROJECT) == 1
    assert house.left_behind() == []


def test_a_stopped_build_is_recorded_and_leaves_nothing(house, endless_source, wait_for) -> None:
    house.register(endless_source, opt_outs=())
    with started(house) as process:
        wait_for_the_data_file(house, wait_for)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "found SIGTERM" in json.loads(output)["reasons"][0]
    assert house.left_behind() == []
    assert extract_records(house) == ["extract:started", "extract:refused"]


def test_a_full_disk_is_told_and_leaves_nothing(house, warehouse) -> None:
    """RLIMIT_FSIZE makes the data file's write fail as a full disk does."""
    house.register(warehouse["duckdb"])
    with started(house, "prlimit", "--fsize=300000") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert json.loads(output)["reasons"] == [DISK_FULL]
    assert house.left_behind() == []
    assert extract_records(house) == ["extract:started", "extract:refused"]


def test_a_build_that_takes_too_long_is_ended_and_recorded(house, endless_source) -> None:
    house.register(endless_source, opt_outs=())
    result = run_builder(house.settings, PROJECT, VERSION, seconds=6)
    assert not result.ok
    assert "Expected the build to end within 6 s" in result.reasons[0]
    assert house.left_behind() == []
    assert extract_records(house) == ["extract:started", "extract:refused"]

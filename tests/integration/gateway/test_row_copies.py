"""Tables of which a rule hides rows, copied without them: the same answers, and the view as before when it fails."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave.domain.permits import TableRule
from enclave.domain.person_rules import PersonRules, rules_for
from enclave.extracts.permit_file import parse_permit
from enclave.gateway import row_copies
from enclave.gateway.engine import Engine, EngineLimits, open_extract
from enclave.process_table import processes_below

_SPEC = importlib.util.spec_from_file_location("gateway_ruled", Path(__file__).with_name("ruled.py"))
assert _SPEC is not None and _SPEC.loader is not None
ruled: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ruled)
BOB = ruled.BOB
OTHER_ROWS = ruled.RULES.replace("ward = 'cardiology'", "visit_id < 10")
VISIBLE = 1667
READ_ALL = "SELECT count(*), sum(length(label)) FROM visit"
RULES = rules_for(parse_permit(ruled.PERMIT + ruled.RULES), "bob")


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first query over a table makes a copy worth while."""
    monkeypatch.setattr(row_copies, "_SECONDS_PER_VALUE", 0)


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies") / "v1"
    sys.modules["gateway_stack"].build_extract(folder, ruled.PROJECT, ruled.STATEMENTS, "0" * 64)
    return folder


def opened(extract: Path, spill: Path, rules: PersonRules = RULES, spill_mb: int = 64) -> Engine:
    """A locked engine as a worker has it."""
    return open_extract(extract, EngineLimits(512, 2, spill, spill_mb), is_checked=True, rules=rules)


def ask(engine: Engine, sql: str) -> tuple[list[Any], bool]:
    """The answer, and whether a table itself was read: DuckDB tells no columns of what is behind a secure view."""
    cursor = engine.cursor()
    answer = cursor.execute(sql).fetchall()
    columns = [scan.columns for scan in engine.scans(cursor) or () if scan.table == "visit"]
    engine.note_end(cursor)
    engine.give_back(cursor, is_clean=True)
    return answer, columns == [frozenset({"label"})]


def copying_has_ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "row-copies":
            thread.join(60)
            assert not thread.is_alive()


QUESTIONS = (
    READ_ALL,
    "FROM visit LIMIT 7",
    "FROM extract.main.visit ORDER BY label, visit_id LIMIT 9 OFFSET 400",
    "SELECT year_of_birth, count(*) FROM visit JOIN person USING (person_id) GROUP BY ALL ORDER BY ALL",
    "SELECT count(*) FROM visit WHERE CAST(label AS INTEGER) > 3",
    "DESCRIBE visit",
    "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL",
    "SHOW ALL TABLES",
)


@pytest.mark.usefixtures("_at_once")
def test_once_a_table_has_been_read_through_its_view_the_view_reads_a_copy(extract: Path, tmp_path: Path) -> None:
    engine = opened(extract, tmp_path)
    plain = opened(extract, tmp_path / "none", spill_mb=0)
    before, is_copied = ask(engine, READ_ALL)
    copying_has_ended()
    assert (is_copied, ask(engine, READ_ALL)) == (False, (before, True))
    answers = [ask(engine, question)[0] for question in QUESTIONS]
    assert answers == [ask(plain, question)[0] for question in QUESTIONS]
    assert not ask(plain, READ_ALL)[1] and "visible" not in str(answers)
    statistics, _ = ask(engine, "SELECT DISTINCT stats(label)::VARCHAR FROM visit")
    assert ruled.MARKER not in str(statistics)


@pytest.mark.usefixtures("_at_once")
def test_what_began_before_the_copy_goes_on_and_ends_as_it_began(extract: Path, tmp_path: Path) -> None:
    engine = opened(extract, tmp_path)
    cursor = engine.cursor()
    reader = cursor.sql("SELECT visit_id FROM visit").to_arrow_reader(100)
    rows = reader.read_next_batch().num_rows
    ask(engine, READ_ALL)
    copying_has_ended()
    assert ask(engine, READ_ALL)[1]
    assert rows + sum(batch.num_rows for batch in reader) == VISIBLE


@pytest.mark.usefixtures("_at_once")
def test_a_condition_that_counts_from_today_is_never_copied(extract: Path, tmp_path: Path) -> None:
    rule = TableRule((), "death", (), "age(died_on) > INTERVAL 100 YEAR OR person_id >= 0")
    engine = opened(extract, tmp_path, PersonRules((rule,)))
    for _ in range(2):
        assert ask(engine, "SELECT count(cause) FROM death")[0] == [(100,)]
    copying_has_ended()
    assert list(tmp_path.iterdir()) == []


class _Killed(subprocess.Popen[bytes]):
    """Killed while it waits for its order, so never by chance after its end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kill()
        self.wait(60)


@pytest.fixture(params=["killed", "no room", "no memory", "in the way", "no program"])
def failing(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Something that makes every copy fail; gives the spill folder's size in MiB."""
    match request.param:
        case "killed":
            monkeypatch.setattr(row_copies.subprocess, "Popen", _Killed)
        case "no memory":
            monkeypatch.setattr("enclave.gateway.engine._LEAST_COPY_MB", 0)
            monkeypatch.setattr(row_copies, "CopyOrder", lambda *a: _CopyOrder(*a[:-1], memory_mb=1))
        case "in the way":
            (tmp_path / "visible-0.duckdb").write_bytes(b"no database")
        case "no program":
            monkeypatch.setattr(row_copies.sys, "executable", "/nonexistent")
    yield 0 if request.param == "no room" else 64


_CopyOrder = row_copies.CopyOrder


@pytest.mark.usefixtures("_at_once")
def test_a_copy_that_fails_leaves_everything_as_it_was(extract: Path, tmp_path: Path, failing: int) -> None:
    engine = opened(extract, tmp_path, spill_mb=failing)
    before, _ = ask(engine, READ_ALL)
    copying_has_ended()
    for _ in range(2):
        assert ask(engine, READ_ALL) == (before, False)
        copying_has_ended()
    assert list(tmp_path.glob("visible*")) == []


@pytest.fixture(scope="module")
def gateway() -> Iterator[Any]:
    with sys.modules["gateway_stack"].running_stack() as stack:
        ruled.add_ruled_project(stack)
        stack.socket()
        yield stack


def fetch(gateway: Any, sql: str) -> list[Any]:
    found: list[Any] = gateway.fetch(sql, gateway.token(person=BOB))
    return found


def is_read_itself(gateway: Any) -> bool:
    """The newest outcome names a column of visit, so no view was between."""
    return bool(gateway.events("query:outcome")[-1]["data"].get("columns_read") == ["visit.label"])


def wait_for_copy(gateway: Any) -> None:
    """Until the record of a query says that a table was read and no view."""

    def is_copied() -> bool:
        before = len(gateway.events("query:outcome"))
        assert fetch(gateway, READ_ALL)[0][0] == VISIBLE
        gateway.wait_for(lambda: len(gateway.events("query:outcome")) > before)
        return is_read_itself(gateway)

    gateway.wait_for(is_copied, 60, "a copy of what bob may see")


def commands_below(pid: int, part: bytes) -> list[int]:
    found = []
    for below in processes_below(pid):
        with contextlib.suppress(OSError):
            if part in Path(f"/proc/{below}/cmdline").read_bytes():
                found.append(below)
    return found


def stopped_copier(gateway: Any) -> int:
    """The process that copies, stopped in the middle; another worker is taken until one is met there."""

    def find() -> int | None:
        fetch(gateway, READ_ALL)
        for pid in commands_below(gateway.front.pid, b"row_copy"):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGSTOP)
                if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in ("T", "t"):
                    return pid
        if is_read_itself(gateway):
            kill_worker(gateway)  # too late for this one
        return None

    found: int = gateway.wait_for(find, 60, "a copy that goes on")
    return found


def kill_worker(gateway: Any) -> None:
    workers = commands_below(gateway.front.pid, b"worker_start")
    for pid in workers:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    gateway.wait_for(lambda: not set(workers) & set(commands_below(gateway.front.pid, b"worker_start")), what="its end")


def test_the_gateway_reads_the_copy_and_changed_rules_end_it(gateway: Any) -> None:
    wait_for_copy(gateway)
    assert fetch(gateway, "SELECT count(*) FROM visit WHERE label LIKE 'MARKER%'") == [(0,)]
    copies = gateway.settings.run_dir / "gw" / ruled.PROJECT / BOB / "spill"
    assert list(copies.glob("visible*"))
    ruled.set_rules(gateway, OTHER_ROWS)
    gateway.wait_for(lambda: not copies.exists(), what="the end of the copy, before anybody asks")
    assert fetch(gateway, "SELECT count(*), max(visit_id) FROM visit") == [(10, 9)]
    ruled.set_rules(gateway, ruled.RULES)


@pytest.mark.parametrize("happening", ["the worker is killed", "the rules change"])
def test_what_happens_in_the_middle_of_a_copy_leaves_none_of_it(gateway: Any, happening: str) -> None:
    copier = stopped_copier(gateway)
    if happening == "the rules change":
        ruled.set_rules(gateway, OTHER_ROWS)
        assert fetch(gateway, "SELECT count(*), max(visit_id) FROM visit") == [(10, 9)]
        ruled.set_rules(gateway, ruled.RULES)
    else:
        kill_worker(gateway)
    gateway.wait_for(lambda: not Path(f"/proc/{copier}").exists(), what="the end of the copying process")
    wait_for_copy(gateway)

"""Who sees which columns and rows of a table: the permit's rules as a table, on the views a worker makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from enclave.domain.ids import Username
from enclave.domain.person_rules import rules_for
from enclave.extracts.permit_file import parse_permit
from enclave.gateway.engine import EngineLimits, open_extract

PERMIT = """permit: 1
project: ward-study
title: Wards
purpose: Compare wards.
legal_basis: EHDS art. 53
dataset: {name: sample, version: "1"}
people: {researchers: [ada, ben, cleo, dan]}
expires_on: 2099-12-31
pseudonyms: {domain: wards}
dates: {shift_days: 0}
tables:
  visit: {columns: {id: keep, Ward: keep, age: keep}}
  death: {columns: {id: keep, died_on: keep}}
rules:
  - {people: [ben], table: visit, columns: [ward, id]}
  - {people: [ben, cleo], table: death, columns: [id]}
  - {people: [cleo], table: VISIT, rows: "ward = 'a'"}
  - {people: [dan], table: visit, columns: [id], rows: "ward = 'b' AND age + 0 < 50"}
"""
ALL_VISIT, ALL_DEATH = ["id", "Ward", "age"], ["id", "died_on"]
TABLE = (
    # person, columns of visit, ids of visit, columns of death
    ("ada", ALL_VISIT, [1, 2, 3, 4, 5], ALL_DEATH),
    ("ben", ["Ward", "id"], [1, 2, 3, 4, 5], ["id"]),
    ("cleo", ALL_VISIT, [1, 2], ["id"]),
    ("dan", ["id"], [3], ALL_DEATH),
    ("nobody-the-permit-names", ALL_VISIT, [1, 2, 3, 4, 5], ALL_DEATH),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("extract")
    with duckdb.connect(str(found / "extract.duckdb")) as connection:
        rows = "(1, 'a', 40), (2, 'a', 90), (3, 'b', 40), (4, 'b', 90), (5, NULL, 40)"
        connection.execute(f'CREATE TABLE visit AS SELECT * FROM (VALUES {rows}) v(id, "Ward", age)')
        connection.execute("CREATE TABLE death AS SELECT 1 AS id, DATE '2001-01-01' AS died_on")
    zero = dict.fromkeys(("rows", "source_rows", "dropped_rows_filter", "dropped_rows_opt_out"), 0)
    types = {"visit": {"id": "INTEGER", "Ward": "VARCHAR", "age": "INTEGER"}, "death": {"id": "INTEGER"}}
    types["death"]["died_on"] = "DATE"
    tables = [
        {
            "name": name,
            "person": None,
            "dropped_columns": [],
            "dropped_rows_no_person": 0,
            **zero,
            "columns": [{"name": column, "type": kind, "treatment": "keep"} for column, kind in columns.items()],
        }
        for name, columns in types.items()
    ]
    texts = ("project", "extract_version", "dataset", "dataset_version", "permit_sha256", "built_at", "source_kind")
    numbers = ("people", "opt_outs_listed", "opt_outs_matched", "date_shift_days")
    manifest = {**dict.fromkeys(texts, "x"), **dict.fromkeys(numbers, 0), "tables": tables, "dropped_tables": []}
    files = [{"path": "extract.duckdb", "sha256": "0" * 64, "bytes": 0}]
    (found / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
    return found


@pytest.fixture
def cursor_of(folder: Path) -> Iterator[Any]:
    def open_for(person: str) -> duckdb.DuckDBPyConnection:
        rules = rules_for(parse_permit(PERMIT), Username(person))
        return open_extract(folder, EngineLimits(256, 1), is_checked=True, rules=rules).cursor()

    yield open_for


@pytest.mark.parametrize(("person", "of_visit", "ids", "of_death"), TABLE)
def test_who_sees_what(cursor_of: Any, person: str, of_visit: list[str], ids: list[int], of_death: list[str]) -> None:
    cursor = cursor_of(person)
    for name in ("visit", "extract.visit", 'extract.main."Visit"'):
        assert [column[0] for column in cursor.execute(f"FROM {name}").description] == of_visit
        assert cursor.execute(f"SELECT id FROM {name} ORDER BY id").fetchall() == [(number,) for number in ids]
    assert [column[0] for column in cursor.execute("FROM death").description] == of_death


@pytest.mark.parametrize(("person", "of_visit", "ids", "of_death"), TABLE[1:4])
def test_the_rows_by_place_are_the_same_rows(
    cursor_of: Any, person: str, of_visit: list[str], ids: list[int], of_death: list[str]
) -> None:
    cursor = cursor_of(person)
    found = cursor.execute('FROM partitions.main."visit" ORDER BY "__row"')
    assert [column[0] for column in found.description] == [*of_visit, "__row"]
    rows = cursor.execute('SELECT id, "__row" FROM partitions.main."visit" ORDER BY 1').fetchall()
    assert rows == [(number, number - 1) for number in ids]
    assert [column[0] for column in cursor.execute("FROM partitions.main.death").description] == [*of_death, "__row"]

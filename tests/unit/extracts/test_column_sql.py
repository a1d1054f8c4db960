"""What the SQL of each treatment computes, by DuckDB itself."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest

from enclave.domain.permits import PermittedColumn, Treatment
from enclave.extracts.column_sql import ColumnContext, column_sql, identifier_text
from enclave.extracts.plan import PersonKind
from enclave.extracts.producer import canonical_person
from enclave.extracts.source_schema import SourceColumn

T = Treatment
CONTEXT = ColumnContext(is_personal=True, shifting=True, spaces=())
# type, treatment, argument, value as SQL, result
VALUES = [
    ("INTEGER", T.BAND, "5", "1963", 1960),
    ("INTEGER", T.BAND, "5", "-3", -5),
    ("INTEGER", T.BAND, "5", "NULL", None),
    ("DOUBLE", T.BAND, "0.5", "1.7", 1.5),
    ("INTEGER", T.BAND, "2.5", "6", 5.0),
    ("INTEGER", T.TOP, "90", "89", 89),
    ("INTEGER", T.TOP, "90", "104", 90),
    ("INTEGER", T.TOP, "90", "NULL", None),
    ("DOUBLE", T.TOP, "1.5", "1.6", 1.5),
    ("VARCHAR", T.TRUNCATE, "2", "'21000'", "21"),
    ("INTEGER", T.TRUNCATE, "2", "21000", "21"),
    ("DATE", T.YEAR, None, "DATE '1999-12-31'", dt.date(1999, 1, 1)),
    ("TIMESTAMP", T.MONTH, None, "TIMESTAMP '1999-12-31 10:00:00'", dt.date(1999, 12, 1)),
    ("DATE", T.SHIFT_DATE, None, "DATE '2000-02-28'", dt.date(2000, 3, 1)),
    ("TIMESTAMP", T.SHIFT_DATE, None, "TIMESTAMP '2000-02-28 23:59:00'", dt.datetime(2000, 3, 1, 23, 59)),  # noqa: DTZ001
    ("DATE", T.SHIFT_DATE, None, "NULL", None),
    ("VARCHAR", T.KEEP, None, "'é'", "é"),
]


def compute(kind: str, sql: str, value: str) -> object:
    query = f"SELECT {sql} FROM (SELECT CAST({value} AS {kind}) AS x) s, (SELECT 2::INTEGER AS shift) p"
    with duckdb.connect(":memory:") as connection:
        return connection.execute(query).fetchall()[0][0]


@pytest.mark.parametrize(("kind", "treatment", "argument", "value", "result"), VALUES)
def test_a_treatment_computes_what_it_says(
    kind: str, treatment: Treatment, argument: str | None, value: str, result: object
) -> None:
    sql = column_sql(PermittedColumn("x", treatment, argument), SourceColumn("x", kind), CONTEXT)
    assert isinstance(sql, str)
    found = compute(kind, sql, value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("BIGINT", "-42", "-42"),
        ("DOUBLE", "10204.0", "10204"),
        ("DECIMAL(18,3)", "7", "7"),
        ("VARCHAR", "'  A12 '", "A12"),
        ("VARCHAR", "'  '", None),
        ("UUID", "'6D3C05F8-0000-4000-8000-000000000001'", "6d3c05f8-0000-4000-8000-000000000001"),
    ],
)
def test_an_identifier_has_one_text_whatever_its_type(kind: str, value: str, text: str | None) -> None:
    assert compute(kind, identifier_text(SourceColumn("x", kind)), value) == text


@pytest.mark.parametrize(
    ("kind", "written", "person"),
    [
        (PersonKind.INTEGER, " 0012 ", "12"),
        (PersonKind.INTEGER, "-7", "-7"),
        (PersonKind.INTEGER, "1_000", None),
        (PersonKind.INTEGER, "A12", None),
        (PersonKind.INTEGER, "", None),
        (PersonKind.TEXT, " A12 ", "A12"),
        (PersonKind.TEXT, "  ", None),
        (PersonKind.UUID, "6D3C05F8000040008000000000000001", "6d3c05f8-0000-4000-8000-000000000001"),
        (PersonKind.UUID, "12", None),
    ],
)
def test_an_opt_out_is_written_as_the_source_writes_people(kind: PersonKind, written: str, person: str | None) -> None:
    assert canonical_person(written, kind) == person

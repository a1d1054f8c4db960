"""From permit and schema to a plan: what fits, and the sentence of every refusal."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from enclave.domain.ids import ProjectId, Username
from enclave.domain.permits import Permit, PermittedColumn, PermittedTable, Treatment
from enclave.extracts.plan import PersonKind, PlanError, plan_extract
from enclave.extracts.source_schema import SourceColumn, SourceKind, SourceSchema, SourceTable

T = Treatment
PERSON = PermittedTable(
    "person",
    (PermittedColumn("person_id", T.PERSON_PSEUDONYM), PermittedColumn("birth_year", T.BAND, "5")),
    "person_id",
)
VISIT = PermittedTable(
    "visit",
    (PermittedColumn("visit_id", T.PSEUDONYM, "visits"), PermittedColumn("start", T.SHIFT_DATE)),
    "person_id",
    "start >= DATE '2000-01-01'",
)
CONCEPT = PermittedTable("concept", (PermittedColumn("name"), PermittedColumn("valid_from")))


def a_permit(*tables: PermittedTable, shift: int = 30) -> Permit:
    return Permit(
        project=ProjectId("stays"),
        title="t",
        purpose="p",
        legal_basis="l",
        researchers=(Username("amelie"),),
        dataset="d",
        dataset_version="1",
        tables=tables,
        pseudonym_domain="stays",
        date_shift_days=shift,
        expires_on=date(2030, 1, 1),
        sha256="0" * 64,
    )


def a_table(name: str, /, **types: str) -> SourceTable:
    return SourceTable(name, f'source."{name}"', tuple(SourceColumn(n, t) for n, t in types.items()))


SOURCE = (
    a_table("PERSON", PERSON_ID="BIGINT", BIRTH_YEAR="INTEGER", NAME="VARCHAR"),
    a_table("Visit", visit_id="BIGINT", person_id="BIGINT", start="DATE", note="VARCHAR"),
    a_table("concept", name="VARCHAR", valid_from="DATE"),
)


def a_schema(*tables: SourceTable, names: tuple[str, ...] = ()) -> SourceSchema:
    return SourceSchema(SourceKind.DUCKDB, (*(t.name for t in tables), *names), tables)


def test_a_plan_names_what_stays_behind() -> None:
    plan = plan_extract(a_permit(PERSON, VISIT, CONCEPT), a_schema(*SOURCE, names=("secret_notes",)))
    assert plan.dropped_tables == ("secret_notes",)
    assert plan.spaces == ("visits",)
    assert plan.person_kind is PersonKind.INTEGER
    person, visit, concept = plan.tables
    assert person.dropped_columns == ("NAME",)
    assert person.columns[0].sql == "p.pseudonym"
    assert visit.dropped_columns == ("person_id", "note")
    assert visit.columns[1].sql == 's."start" + p.shift'
    assert concept.person_key is None
    assert concept.columns[1].sql == 's."valid_from"'


def with_columns(table: SourceTable, *columns: SourceColumn) -> SourceTable:
    kept = tuple(c for c in table.columns if c.name not in {n.name for n in columns})
    return replace(table, columns=(*kept, *columns))


def permitted(name: str, treatment: Treatment = T.KEEP, argument: str | None = None) -> PermittedTable:
    return PermittedTable("visit", (PermittedColumn(name, treatment, argument),), "person_id")


VISITS = SOURCE[1]
REFUSALS = [
    (
        "unknown table",
        replace(VISIT, name="vist"),
        VISITS,
        "Expected the table vist of the permit in the source, found none; nearest: Visit",
    ),
    (
        "unknown column",
        permitted("notes"),
        VISITS,
        "Expected the column notes of the data permit in the table visit, found none; nearest",
    ),
    ("unknown person column", replace(VISIT, person="patient"), VISITS, "Expected the column patient"),
    (
        "unknown column in the filter",
        replace(VISIT, rows="begin > 1"),
        VISITS,
        "Expected the column begin of the row filter",
    ),
    ("attack in the filter", replace(VISIT, rows="start = (SELECT 1)"), VISITS, "a query inside the condition"),
    ("kept date", permitted("start"), VISITS, "found keep while dates are shifted"),
    (
        "kept timestamp",
        permitted("at"),
        with_columns(VISITS, SourceColumn("at", "TIMESTAMP WITH TIME ZONE")),
        "found keep while dates",
    ),
    (
        "kept date as text",
        permitted("day"),
        with_columns(VISITS, SourceColumn("day", "VARCHAR", looks_like_date=True)),
        "found keep while dates",
    ),
    (
        "cut date as text",
        permitted("day", T.TRUNCATE, "10"),
        with_columns(VISITS, SourceColumn("day", "VARCHAR", looks_like_date=True)),
        "found dates written as text",
    ),
    (
        "shifted text",
        permitted("note", T.SHIFT_DATE),
        VISITS,
        "expected a date or timestamp for shift-date, found the type VARCHAR",
    ),
    ("year of a number", permitted("visit_id", T.YEAR), VISITS, "expected a date or timestamp for year"),
    ("band of text", permitted("note", T.BAND, "5"), VISITS, "expected a number for band"),
    ("truncated date", permitted("start", T.TRUNCATE, "4"), VISITS, "expected text for truncate"),
    ("pseudonym of a date", permitted("start", T.PSEUDONYM), VISITS, "expected an identifier"),
    ("list", permitted("codes"), with_columns(VISITS, SourceColumn("codes", "VARCHAR[]")), "expected a plain type"),
    (
        "list of words",
        permitted("codes"),
        with_columns(VISITS, SourceColumn("codes", "ENUM('a')[]")),
        "expected a plain type",
    ),
    ("json", permitted("codes"), with_columns(VISITS, SourceColumn("codes", "JSON")), "expected a plain type"),
    (
        "person by date",
        permitted("note"),
        with_columns(VISITS, SourceColumn("person_id", "DATE")),
        "whole numbers, text or UUIDs as person ids",
    ),
    (
        "person by float",
        permitted("note"),
        with_columns(VISITS, SourceColumn("person_id", "DOUBLE")),
        "whole numbers, text or UUIDs as person ids",
    ),
    (
        "vocabulary with people",
        PermittedTable("visit", (PermittedColumn("note"),)),
        VISITS,
        "Expected no person column in visit",
    ),
]


@pytest.mark.parametrize(("table", "source", "words"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_permit_that_does_not_fit_is_refused(table: PermittedTable, source: SourceTable, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_extract(a_permit(PERSON, table), a_schema(SOURCE[0], source))
    assert any(words in reason for reason in caught.value.reasons), caught.value.reasons


def test_person_identifiers_of_two_kinds_are_refused() -> None:
    """An opt-out of person 12 must not miss the rows of person 012."""
    texts = with_columns(VISITS, SourceColumn("person_id", "VARCHAR"))
    with pytest.raises(PlanError, match="Expected person identifiers of one kind, found integer elsewhere and text"):
        plan_extract(a_permit(PERSON, VISIT), a_schema(SOURCE[0], texts))


def test_a_column_without_values_fits_every_treatment() -> None:
    empty = replace(VISITS, columns=tuple(SourceColumn(c.name, "VARCHAR", is_empty=True) for c in VISITS.columns))
    plan = plan_extract(a_permit(PERSON, VISIT), a_schema(SOURCE[0], empty))
    assert plan.tables[1].columns[1].sql == "CAST(NULL AS DATE)"


def test_dates_are_kept_when_nothing_is_shifted() -> None:
    plan = plan_extract(a_permit(PERSON, permitted("start"), shift=0), a_schema(SOURCE[0], VISITS))
    assert plan.tables[1].columns[0].sql == 's."start"'


def test_all_refusals_are_told_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        plan_extract(a_permit(PERSON, permitted("notes"), replace(CONCEPT, name="concepts")), a_schema(*SOURCE))
    assert len(caught.value.reasons) == 2


def test_words_of_an_enum_stay_behind() -> None:
    table = with_columns(VISITS, SourceColumn("ward", "ENUM('a', 'b')"))
    plan = plan_extract(a_permit(PERSON, permitted("ward")), a_schema(SOURCE[0], table))
    assert plan.tables[1].columns[0].sql == 'CAST(s."ward" AS VARCHAR)'

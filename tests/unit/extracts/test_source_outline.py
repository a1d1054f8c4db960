"""What the catalogue tells of a source, and the permit to start from: it permits nothing until somebody chooses."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from enclave.domain.permits import Treatment
from enclave.domain.source_outline import OutlinedColumn, OutlinedTable, draft_permit, read_outline, stored_outline
from enclave.extracts.permit_file import PermitError, parse_permit

TABLES = (
    OutlinedTable(
        "person",
        (OutlinedColumn("person_id", "BIGINT"), OutlinedColumn("born", "DATE"), OutlinedColumn("no", "VARCHAR")),
    ),
    OutlinedTable("stay", (OutlinedColumn("PERSON_ID", "BIGINT"), OutlinedColumn("from", "TIMESTAMP"))),
    OutlinedTable("code", (OutlinedColumn("code", "VARCHAR"), OutlinedColumn("words", "VARCHAR"))),
)


def _filled_in(draft: str) -> str:
    for old, new in (
        ("purpose: ...", "purpose: To know."),
        ("legal_basis: ...", "legal_basis: A law."),
        ("[...]", "[amelie]"),
        ("expires_on: ...", "expires_on: 2099-12-31"),
    ):
        assert old in draft
        draft = draft.replace(old, new)
    return draft


def _chosen(draft: str) -> str:
    head, tables = draft.split("tables:\n")
    return head + "tables:\n" + re.sub(r"(?m)^#", "", tables)


def test_it_permits_nothing_as_it_comes() -> None:
    draft = _filled_in(draft_permit("hips", "2026-1", "Hips", TABLES))
    with pytest.raises(PermitError, match="tables"):
        parse_permit(draft)


def test_with_every_hash_taken_away_it_is_a_permit_of_all() -> None:
    draft = _filled_in(draft_permit("hips", "2026-1", 'Hips: "all" of them', TABLES))
    permit = parse_permit(_chosen(draft))
    assert (permit.dataset, permit.dataset_version, permit.title) == ("hips", "2026-1", 'Hips: "all" of them')
    person = permit.tables[0]
    assert (person.name, person.person) == ("person", "person_id")
    assert {column.name: column.treatment for column in person.columns}["person_id"] is Treatment.PERSON_PSEUDONYM
    assert {column.name: column.treatment for column in person.columns}["born"] is Treatment.SHIFT_DATE
    assert {column.name: column.treatment for column in person.columns}["no"] is Treatment.KEEP
    assert [(table.name, table.person) for table in permit.tables[1:]] == [("stay", "PERSON_ID"), ("code", None)]


def test_any_name_of_a_table_or_column_is_one_in_the_draft() -> None:
    odd = ("Stay: all", 'a "b"', "# no", "on", "2020", "été", " x ", "{a}", "- y", "null")
    draft = draft_permit("hips", "1", "Hips", tuple(OutlinedTable(n, (OutlinedColumn(n, "DATE"),)) for n in odd))
    read = YAML(typ="safe", pure=True).load(_chosen(_filled_in(draft)))["tables"]
    assert tuple(read) == odd
    assert [tuple(table["columns"]) for table in read.values()] == [(name,) for name in odd]


def test_the_row_of_the_catalogue_keeps_all_of_it() -> None:
    assert read_outline(stored_outline(TABLES)) == TABLES

"""The ``rules`` of a data permit: what is read, and the line and sentence of every mistake."""

from __future__ import annotations

import pytest

from enclave.domain.permits import TableRule
from enclave.extracts.permit_file import PermitError, parse_permit

PERMIT = """\
permit: 1
project: stays-2026
title: Length of stay
purpose: Describe stays.
legal_basis: EHDS art. 53
dataset: {name: warehouse, version: "2026-1"}
people: {researchers: [amelie, karim]}
expires_on: 2027-12-31
pseudonyms: {domain: stays}
dates: {shift_days: 180}
tables:
  visit:
    person: person_id
    columns: {person_id: person-pseudonym, ward: keep, start_date: shift-date}
  concept:
    columns: {concept_id: keep, name: keep}
"""
RULES_LINE = PERMIT.count("\n") + 1


def test_a_permit_without_rules_has_none() -> None:
    assert parse_permit(PERMIT).rules == ()


def test_where_some_see_less_nothing_is_shared_unless_it_is_ordered() -> None:
    rules = "rules: [{people: [karim], table: visit, columns: [ward]}]\n"
    assert parse_permit(PERMIT + rules).shared_folder_mb == 0
    assert parse_permit(PERMIT + rules + "workspace: {shared_mb: 64}\n").shared_folder_mb == 64


def test_rules_are_read_in_full() -> None:
    text = """rules:
  - people: [karim]
    table: VISIT
    columns: [Person_Id, ward]
    rows: "ward = 'cardiology' AND start_date >= DATE '2000-01-01'"
  - {people: [amelie, karim], table: concept, columns: [name]}
"""
    assert parse_permit(PERMIT + text).rules == (
        TableRule(
            ("karim",), "visit", ("person_id", "ward"), "ward = 'cardiology' AND start_date >= DATE '2000-01-01'"
        ),
        TableRule(("amelie", "karim"), "concept", ("name",), None),
    )


MISTAKES = (
    ("rules: all", 0, "expected rules as a list"),
    ("rules: []", 0, "found an empty list"),
    ("rules:\n  - karim", 1, "expected rules[1] as a mapping"),
    ("rules:\n  - {people: [karim], tabel: visit, rows: ward = 'x'}", 1, 'found "tabel" (did you mean "table"?)'),
    ("rules:\n  - {people: [karim], columns: [ward]}", 1, 'expected the key "table" in rules[1], found none'),
    ("rules:\n  - {table: visit, columns: [ward]}", 1, 'expected the key "people" in rules[1], found none'),
    ("rules:\n  - {people: [karim], table: visit}", 1, 'expected "columns", "rows" or both in rules[1]'),
    ("rules:\n  - {people: [], table: visit, columns: [ward]}", 1, "expected rules[1].people as a list"),
    ("rules:\n  - people: karim\n    table: visit\n    columns: [ward]", 1, "expected rules[1].people as a list"),
    (
        "rules:\n  - table: visit\n    columns: [ward]\n    people:\n      - amelie\n      - carim",
        5,
        'found "carim" (did you mean "karim"?)',
    ),
    ("rules:\n  - {people: [karim, karim], table: visit, columns: [ward]}", 1, 'found "karim" again'),
    ("rules:\n  - people: [karim]\n    table: visits\n    columns: [ward]", 2, '(did you mean "visit"?)'),
    ("rules:\n  - people: [karim]\n    table: visit\n    columns: []", 3, "expected rules[1].columns as a list"),
    (
        "rules:\n  - people: [karim]\n    table: visit\n    columns:\n      - ward\n      - star_date",
        5,
        'expected a column that this permit grants in visit, found "star_date" (did you mean "start_date"?)',
    ),
    ("rules:\n  - {people: [karim], table: visit, columns: [ward, WARD]}", 1, 'found "ward" again'),
    ("rules:\n  - people: [karim]\n    table: visit\n    rows: room = 'x'", 3, 'grants in visit, found "room"'),
    ("rules:\n  - people: [karim]\n    table: visit\n    rows: ward = (SELECT 'x')", 3, "found a query inside"),
    ("rules:\n  - people: [karim]\n    table: visit\n    rows: ward = 'x') OR (1 = 1", 3, "found a syntax error"),
    ("rules:\n  - people: [karim]\n    table: visit\n    rows: ward = 'x'; SELECT 1", 3, "found a semicolon"),
    ("rules:\n  - people: [karim]\n    table: visit\n    rows: v.ward = 'x'", 3, "found a name with a dot"),
    ("rules:\n  - people: [karim]\n    table: visit\n    rows: read_text(ward) = 'x'", 3, 'found "read_text"'),
    ("rules:\n  - people: [karim]\n    table: visit\n    rows: 1 = 1", 3, "found none named"),
    ("rules:\n  - people: [karim]\n    table: visit\n    rows:", 3, "expected rules[1].rows as text"),
    (
        "rules:\n  - {people: [karim], table: visit, columns: [ward]}\n"
        "  - {people: [karim], table: Visit, rows: ward = 'x'}",
        2,
        "expected one rule for karim and visit, found a second one",
    ),
)


@pytest.mark.parametrize(("text", "line", "sentence"), MISTAKES)
def test_every_mistake_is_told_with_its_line(text: str, line: int, sentence: str) -> None:
    with pytest.raises(PermitError) as found:
        parse_permit(PERMIT + text + "\n")
    matching = [p for p in found.value.problems if sentence in p.message]
    assert [p.line for p in matching] == [RULES_LINE + line], str(found.value)


def test_no_sentence_repeats_a_value_of_a_condition() -> None:
    with pytest.raises(PermitError) as found:
        parse_permit(PERMIT + "rules: [{people: [karim], table: visit, rows: \"room = 'secret-value'\"}]\n")
    assert "secret-value" not in str(found.value)

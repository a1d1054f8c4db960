"""Data permits as files: what is read, and the line and sentence of every mistake."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.domain.permits import OutputRules, QueryCaps, Treatment, WorkspaceRules
from enclave.extracts.permit_file import PermitError, parse_permit, read_permit

PERMIT = """\
permit: 1
project: stays-2026
title: Length of stay
purpose: Describe stays.
legal_basis: EHDS art. 53
dataset: {name: warehouse, version: "2026-1"}
people:
  researchers: [amelie, karim]
expires_on: 2027-12-31
pseudonyms: {domain: stays}
dates: {shift_days: 180}
tables:
  person:
    person: person_id
    columns:
      person_id: person-pseudonym
      birth_year: band 5
  visit:
    person: person_id
    rows: "start_date >= DATE '2000-01-01'"
    columns:
      visit_id: pseudonym visits
      start_date: shift-date
  concept:
    columns: {concept_id: keep, name: keep}
"""
EXAMPLES = Path(__file__).parents[3] / "examples" / "permits"


def test_a_permit_is_read_in_full() -> None:
    permit = parse_permit(PERMIT)
    assert permit.project == "stays-2026"
    assert permit.researchers == ("amelie", "karim")
    assert permit.expires_on == date(2027, 12, 31)
    assert permit.date_shift_days == 180
    assert permit.sha256 == hashlib.sha256(PERMIT.encode()).hexdigest()
    person, visit, concept = permit.tables
    assert (person.person, concept.person) == ("person_id", None)
    assert visit.rows == "start_date >= DATE '2000-01-01'"
    assert [(c.name, c.treatment, c.argument) for c in visit.columns] == [
        ("visit_id", Treatment.PSEUDONYM, "visits"),
        ("start_date", Treatment.SHIFT_DATE, None),
    ]
    assert permit.outputs.minimum_count == 11


def test_optional_parts_replace_the_defaults() -> None:
    ordered = parse_permit(PERMIT + "workspace: {archive_shown: true, archive_days: 400, shared_mb: 0}\n").workspace
    assert (ordered.archive_shown, ordered.archive_days, ordered.shared_mb) == (True, 400, 0)
    assert parse_permit(PERMIT).shared_folder_mb == 2048
    assert not parse_permit(PERMIT + "workspace: {archive_shown: false}\n").workspace.archive_shown
    for wrong in ("yes", "1", '"true"', "[true]"):
        for key in ("archive_shown", "terminals"):
            with pytest.raises(PermitError, match=rf"workspace\.{key} as true or false"):
                parse_permit(PERMIT + f"workspace: {{{key}: {wrong}}}\n")
    assert not parse_permit(PERMIT).workspace.terminals
    assert parse_permit(PERMIT + "workspace: {terminals: true}\n").workspace.terminals
    permit = parse_permit(PERMIT + "outputs: {minimum_count: 20, file_types: [.csv]}\ncaps: {rows: 10}\n")
    assert permit.outputs.minimum_count == 20
    assert permit.outputs.file_types == (".csv",)
    assert (permit.caps.rows, permit.caps.seconds) == (10, 300)


@pytest.mark.parametrize(
    ("part", "kind"), [("caps", QueryCaps), ("workspace", WorkspaceRules), ("outputs", OutputRules)]
)
def test_every_number_of_an_optional_part_can_be_written_in_a_permit(part, kind):
    """A field of the domain that the file's reader does not know would end the reader instead of the permit."""
    numbers = {field.name: getattr(kind(), field.name) for field in fields(kind) if field.name != "file_types"}
    numbers |= {name: 64 for name, value in numbers.items() if value is None}  # left to other parts of the permit
    written = ", ".join(f"{name}: {value}" for name, value in numbers.items())
    assert getattr(parse_permit(f"{PERMIT}{part}: {{{written}}}\n"), part) == replace(kind(), **numbers)


@pytest.mark.parametrize("name", ["gibleed.yaml", "mimic-demo.yaml"])
def test_the_examples_are_permits(name: str) -> None:
    permit = read_permit(EXAMPLES / name)
    assert permit.researchers == ("amelie", "karim")
    assert permit.sha256 == hashlib.sha256((EXAMPLES / name).read_bytes()).hexdigest()


# what is replaced, by what, the line that is named, words of the sentence
MISTAKES = [
    ("project: stays-2026", "projct: stays-2026", 2, 'found "projct" (did you mean "project"?)'),
    ("title: Length of stay\n", "", 1, 'expected the key "title"'),
    ("title: Length of stay", "title:", 3, "expected title as text, found nothing"),
    ("title: Length of stay", "title: [a]", 3, "expected title as text, found a list"),
    ("permit: 1", "permit: 2", 1, "expected permit: 1, found 2"),
    (
        "project: stays-2026",
        "project: Stays",
        2,
        '3 to 30 lower-case letters, digits and hyphens, a letter first, found "Stays"',
    ),
    ("[amelie, karim]", "[amelie, amelie]", 8, 'found "amelie" again'),
    ("[amelie, karim]", "[Amelie]", 8, "expected a user name"),
    ("[amelie, karim]", "[]", 8, "found an empty list"),
    ("[amelie, karim]", "amelie", 8, "expected people.researchers as a list"),
    ("2027-12-31", "2027-02-30", 9, "date of the calendar"),
    ("2027-12-31", "31/12/2027", 9, "YYYY-MM-DD"),
    ("domain: stays", "domain: ../stays", 10, "expected pseudonyms.domain"),
    ("shift_days: 180", 'shift_days: "180"', 11, "expected dates.shift_days as a whole number"),
    ("shift_days: 180", "shift_days: -1", 11, "from 0 to 3650, found -1"),
    ("shift_days: 180", "shift_days: 1.5", 11, "whole number"),
    ("dates: {shift_days: 180}", "dates: 180", 11, "expected dates as a mapping"),
    (
        "    person: person_id\n    columns:\n      person_id: person",
        "    columns:\n      person_id: person",
        15,
        'add "person: <column>"',
    ),
    ("birth_year: band 5", "birth_year: band", 17, "the width of the band"),
    ("birth_year: band 5", "birth_year: band 0", 17, "above 0"),
    ("birth_year: band 5", "birth_year: top", 17, "the highest value"),
    ("birth_year: band 5", "birth_year: truncate -3", 17, "number of characters"),
    ("birth_year: band 5", "birth_year: kep", 17, '(did you mean "keep"?)'),
    ("birth_year: band 5", "birth_year: keep 3", 17, "without an argument"),
    ("birth_year: band 5", "Person_ID: keep", 17, "found it again (first on line 16)"),
    ("birth_year: band 5", "birth_year:", 17, "expected the treatment of person.birth_year as text"),
    ("person_id: person-pseudonym", "person_id: keep", 16, "expected person-pseudonym for the person column"),
    ("rows: \"start_date >= DATE '2000-01-01'\"", "rows: 'start_date >='", 20, "syntax error"),
    ("rows: \"start_date >= DATE '2000-01-01'\"", "rowz: 'a > 1'", 20, '(did you mean "rows"?)'),
    ("  visit:", "  PERSON:", 18, 'expected "PERSON" once in tables, found it again (first on line 13)'),
    ("  visit:", "  'a/b':", 18, "expected a table name"),
    ("{concept_id: keep, name: keep}", "{}", 25, "expected at least one column"),
    ("{concept_id: keep, name: keep}", "{person_id: keep}", 25, "expected no person column in a table without person"),
    ("{concept_id: keep, name: keep}", "{valid: shift-date}", 25, "expected shift-date only in a table that names"),
    ("title: Length of stay", "title: Length: of stay", 3, "expected YAML"),
    ("  researchers:", "\tresearchers:", 8, "found a tab"),
    ("permit: 1", "- permit: 1", 2, "expected YAML"),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), MISTAKES)
def test_a_mistake_is_named_by_its_line(old: str, new: str, line: int, words: str) -> None:
    assert old in PERMIT
    with pytest.raises(PermitError) as caught:
        parse_permit(PERMIT.replace(old, new, 1))
    assert any(p.line == line and words in p.message for p in caught.value.problems), str(caught.value)
    assert f"line {line}: " in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    text = PERMIT.replace("title: Length of stay\n", "").replace("band 5", "band x").replace("2027-12-31", "soon")
    with pytest.raises(PermitError) as caught:
        parse_permit(text)
    assert [p.line for p in caught.value.problems] == [1, 8, 16]


def test_shift_date_needs_shifting() -> None:
    with pytest.raises(PermitError, match="expected no shift-date while dates"):
        parse_permit(PERMIT.replace("shift_days: 180", "shift_days: 0"))


@pytest.mark.parametrize(
    "text", ["", "permit", "[]", "a: &x [*x]", "!!python/object/apply:os.system [ls]", "\0", "{" * 5000]
)
def test_what_is_no_permit_is_refused(text: str) -> None:
    with pytest.raises(PermitError):
        parse_permit(text)


def test_a_permit_in_other_bytes_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "permit.yaml"
    file.write_bytes(b"permit: 1\ntitle: \xe9t\xe9\n")
    with pytest.raises(PermitError, match="line 2: expected UTF-8"):
        read_permit(file)
    with pytest.raises(PermitError, match="cannot be read"):
        read_permit(tmp_path / "none.yaml")


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(PERMIT) - 1), st.text(max_size=8), st.integers(0, 20))
def test_no_edit_makes_the_reader_fail_otherwise(place: int, inserted: str, removed: int) -> None:
    """Whatever is typed into a permit, it is a permit or a PermitError with lines."""
    try:
        parse_permit(PERMIT[:place] + inserted + PERMIT[place + removed :])
    except PermitError as error:
        assert error.problems
        assert all(p.line >= 1 and p.message for p in error.problems)

"""Every answer to a standard names code, tests and pages that are there, and every requirement has one answer."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
import standards_page
from standard_answers import FILES, LEVELS, ROOT, Answer, Requirement, Standard, cited, find_problems, standards

from enclave.places import HousePlaces
from enclave.settings import Settings

SATRE = standards()["satre.toml"]
SHARED = ROOT.parent / "shared" / "standards" / "satre-2.0.1.csv"
"""The list that the design names. A checkout without it has the chapters of our own file, with their numbers."""


@pytest.mark.parametrize("name", FILES)
def test_what_is_claimed_is_there(name: str) -> None:
    assert find_problems(standards()[name]) == []


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_stands_once(name: str) -> None:
    found = Counter(requirement.id for requirement in standards()[name].requirements)
    assert [clause for clause, times in found.items() if times > 1] == []


def test_every_requirement_of_satre_has_an_answer() -> None:
    chapters = [f"{c.id}.{n:02}" for c in SATRE.capabilities for n in range(1, c.requirements + 1)]
    assert [requirement.id for requirement in SATRE.requirements] == chapters
    assert len(chapters) == 185
    assert {requirement.level for requirement in SATRE.requirements} == set(LEVELS)


def test_they_are_those_of_the_design() -> None:
    assert _rows_of_the_design() == _rows_of_ours()


def _rows_of_ours() -> list[tuple[str, ...]]:
    chapters = {capability.id: capability for capability in SATRE.capabilities}
    return [
        (r.id, chapters[r.id[:3]].pillar, chapters[r.id[:3]].title, r.level, r.asks, "yes" if r.software else "")
        for r in SATRE.requirements
    ]


def _rows_of_the_design() -> list[tuple[str, ...]]:
    if not SHARED.exists():
        return _rows_of_ours()
    with SHARED.open(encoding="utf-8", newline="") as lines:
        _head, *rows = csv.reader(lines)
    return [(*row[:5], "yes" if row[5] == "yes" else "") for row in rows]


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "reference" / "standards.md").read_text(encoding="utf-8")
    assert page.partition("\n\n")[2] == standards_page.standards_markdown(), "run: make docs"


def test_a_clause_in_the_code_is_one_we_answer_and_its_answer_names_the_code() -> None:
    answered = {name: {r.id: r for r in standard.requirements} for name, standard in standards().items()}
    found = list(cited())
    assert len({(clause, path) for _, clause, path in found}) > 30
    for standard, clause, path in found:
        assert clause in answered[standard], f"{path} names {clause}, which {standard} does not have"
        if standard == "satre.toml":
            assert path in answered[standard][clause].code, (
                f"{path} names SATRE {clause}, whose answer does not name it"
            )


BAD = [
    (Answer.MET, "Yes.", (), ("tests/conftest.py",), (), "needs a path of code and a test"),
    (Answer.PARTLY, "Yes.", ("Makefile",), (), (), "needs a path of code and a test"),
    (Answer.SITE, "no sentence", (), (), (), "a whole sentence"),
    (Answer.SITE, "Yes.", ("enclave/nowhere.py",), (), (), "enclave/nowhere.py is not there"),
    (Answer.SITE, "Yes.", (), ("tests/nowhere.py",), (), "tests/nowhere.py is not there"),
    (Answer.SITE, "Yes.", (), ("enclave/logs.py",), (), "enclave/logs.py is not there"),
    (Answer.SITE, "Yes.", (), ("tests/unit/enclave/test_docs.py::test_nothing",), (), "has no test test_nothing"),
    (Answer.SITE, "Yes.", (), (), ("docs/nowhere.md",), "docs/nowhere.md is not there"),
    (Answer.SITE, "Yes.", (), (), ("docs/admin.md#nowhere",), "has no heading #nowhere"),
]


@pytest.mark.parametrize(("answer", "says", "code", "tests", "docs", "problem"), BAD)
def test_a_claim_that_does_not_hold_is_found(
    answer: Answer, says: str, code: tuple[str, ...], tests: tuple[str, ...], docs: tuple[str, ...], problem: str
) -> None:
    requirement = Requirement("1", "something", answer, says, code=code, tests=tests, docs=docs)
    (found,) = find_problems(Standard("S", "a standard", "", (requirement,)))
    assert problem in found


def test_the_steward_reads_about_every_check() -> None:
    """The table of checks in docs/data-steward.md is what SATRE 3.3.04 and 3.3.06 rest on."""
    sources = "".join(path.read_text(encoding="utf-8") for path in _checks())
    written = set(re.findall(r'Finding\(\s*"([a-z-]+)"', sources))
    page = (ROOT / "docs" / "data-steward.md").read_text(encoding="utf-8")
    section = page.partition("## What the checks look for")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([a-z-]+)`", section)) == written


def test_what_to_back_up_is_said_of_every_folder() -> None:
    """The table in docs/operations.md is what SATRE 2.6.01 and 2.6.03 rest on."""
    home = Settings(home=Path("/home-of-it"), run_folder=None)
    folders = [getattr(home, name) for name in dir(HousePlaces) if name.endswith("_dir")]
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.partition("| folder | what | back it up? |")[2].partition("\n\n")[0]
    missing = {f"{folder.relative_to(home.root).parts[0]}/" for folder in folders} - set(
        re.findall(r"`([a-z]+/)`", table)
    )
    assert missing == set()


def _checks() -> list[Path]:
    return sorted((ROOT / "egress_review" / "sdc").glob("*.py"))

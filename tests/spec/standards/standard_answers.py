"""What Enclave answers to the standards it was built against: the files of ``standards/`` as frozen values.

Contract: ``read_standard`` takes a file with every key it knows and no other; ``find_problems`` gives one sentence for
each answer that does not hold together: no code or test behind a claim, a path, test or heading that is not there. A
claim of a named test says that the test exists, never that it proves enough: that is for the reader to judge.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "standards"
FILES = ("satre.toml", "ehds-article-73.toml", "cnil-eds.toml", "snds.toml", "five-safes.toml")
LEVELS = ("Mandatory", "Mandatory*", "Recommended", "Optional")
"""As SATRE writes them; with a star: not applicable under a condition that the requirement names."""
_CODE = ("access_policies", "audit", "egress_review", "enclave")
_CITED = re.compile(r"SATRE ((?:\d\.\d\.\d\d(?:, | and )?)+)")
_CITED_EHDS = re.compile(r"art(?:icle|\.) (73\(\d\)(?:\([a-f]\))?)")
_SATRE_ID = re.compile(r"\d\.\d\.\d\d")


class Answer(StrEnum):
    """The closed set. Stored strings."""

    MET = "met"
    PARTLY = "partly"
    SITE = "site"
    NOT_MET = "not-met"
    NOT_APPLICABLE = "not-applicable"


MEANINGS = {
    Answer.MET: "Enclave does it, and a test holds it to that",
    Answer.PARTLY: "Enclave does a part; the sentence says what is missing or left to the site",
    Answer.SITE: "a matter of the site's organisation, or of what it puts around Enclave",
    Answer.NOT_MET: "software could do it and Enclave does not",
    Answer.NOT_APPLICABLE: "asks something of another kind of organisation",
}


@dataclass(frozen=True)
class Requirement:
    """One requirement in our own words, and the answer. ``tests`` are ``file`` or ``file::test``."""

    id: str
    asks: str
    answer: Answer
    says: str
    level: str = ""
    software: bool = True
    """Our judgement: can software evidence it?"""
    code: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    docs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capability:
    """A chapter of SATRE and how many requirements it has."""

    id: str
    pillar: str
    title: str
    requirements: int


@dataclass(frozen=True)
class Standard:
    """One file of ``standards/``."""

    name: str
    title: str
    note: str
    requirements: tuple[Requirement, ...]
    capabilities: tuple[Capability, ...] = ()


def read_standard(path: Path) -> Standard:
    """Raises KeyError, TypeError or ValueError for a file of another form."""
    found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return Standard(
        **found["standard"],
        requirements=tuple(_requirement(entry) for entry in found["requirement"]),
        capabilities=tuple(Capability(**entry) for entry in found.get("capability", ())),
    )


def _requirement(entry: dict[str, Any]) -> Requirement:
    lists = {name: tuple(entry.pop(name, ())) for name in ("code", "tests", "docs")}
    return Requirement(answer=Answer(entry.pop("answer")), **entry, **lists)


@cache
def standards() -> dict[str, Standard]:
    """All of them, by the name of their file."""
    return {name: read_standard(FOLDER / name) for name in FILES}


def find_problems(standard: Standard, root: Path = ROOT) -> list[str]:
    """A sentence for each answer that cannot be what it claims to be."""
    return [
        f"{standard.name} {requirement.id}: {problem}"
        for requirement in standard.requirements
        for problem in _problems(requirement, root)
    ]


def _problems(requirement: Requirement, root: Path) -> Iterator[str]:
    if requirement.answer in (Answer.MET, Answer.PARTLY) and not (requirement.code and requirement.tests):
        yield f"{requirement.answer} needs a path of code and a test, found one of them missing. Name it, or say less."
    if not requirement.says.endswith("."):
        yield "expected a whole sentence in `says`."
    for path in requirement.code:
        if not (root / path).is_file():
            yield f"the code {path} is not there. Name where it is now."
    for named in requirement.tests:
        file, _, test = named.partition("::")
        if not file.startswith("tests/") or not (root / file).is_file():
            yield f"the test file {file} is not there. Name where it is now."
        elif test and test not in _tests_of(root / file):
            yield f"{file} has no test {test}. Name the one that stands for it now."
    for named in requirement.docs:
        file, _, anchor = named.partition("#")
        if not (root / file).is_file():
            yield f"the page {file} is not there. Name where it is now."
        elif anchor and anchor not in _anchors_of(root / file):
            yield f"{file} has no heading #{anchor}. Name the one that stands for it now."


@cache
def _tests_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_bytes())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@cache
def _anchors_of(path: Path) -> frozenset[str]:
    """Headings as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def cited(root: Path = ROOT) -> Iterator[tuple[str, str, str]]:
    """Each clause that a source file names: file of the standard, id, path of the source."""
    for folder in _CODE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".py", ".cedar"):
                continue
            text, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
            for found in _CITED.findall(text):
                yield from (("satre.toml", clause, name) for clause in _SATRE_ID.findall(found))
            yield from (("ehds-article-73.toml", clause, name) for clause in _CITED_EHDS.findall(text))

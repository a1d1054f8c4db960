"""``docs/reference/standards.md``, made from the files of ``standards/``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from standard_answers import LEVELS, MEANINGS, Answer, Requirement, Standard, standards

_INTRO = """# Standards, clause by clause

What Enclave answers to each requirement of the standards that it was built against, in our own words, and where that
can be looked up. It is what its makers say, not a certificate: a test keeps the code, tests and pages named here from
vanishing, and whether they prove enough is for the reader to judge. The files behind this page are in `standards/`,
SATRE in [satre.toml](../../standards/satre.toml).
"""


def standards_markdown() -> str:
    """The whole page."""
    satre, *others = standards().values()
    parts = [_INTRO, "\n".join(_meanings()), "\n".join(_summary(satre, others)), "\n".join(_open_mandatory(satre))]
    parts += [f"## {satre.name}: {satre.title}\n\n{satre.note}\n", *_chapters(satre)]
    parts += [f"## {other.name}: {other.title}\n\n{other.note}\n\n{_table(other.requirements)}" for other in others]
    return "\n".join(parts)


def _meanings() -> Iterator[str]:
    yield from ("| answer | means |", "| --- | --- |")
    yield from (f"| **{answer}** | {meaning} |" for answer, meaning in MEANINGS.items())
    yield ""


def _summary(satre: Standard, others: Iterable[Standard]) -> Iterator[str]:
    yield from ("## At a glance\n", f"| | requirements | {' | '.join(Answer)} |", "| --- " + "| ---: " * 6 + "|")
    for level in LEVELS:
        of_level = [r for r in satre.requirements if r.level == level]
        yield _counts(f"{satre.name}, {level.lower().replace('*', ' under a condition')}", of_level)
        yield _counts("– of these, what software can evidence", [r for r in of_level if r.software])
    yield _counts(f"**{satre.name}, all**", satre.requirements)
    yield from (_counts(other.name, other.requirements) for other in others)
    yield ""


def _counts(name: str, requirements: Sequence[Requirement]) -> str:
    found = Counter(requirement.answer for requirement in requirements)
    return f"| {name} | {len(requirements)} | {' | '.join(str(found[answer]) for answer in Answer)} |"


def _open_mandatory(satre: Standard) -> Iterator[str]:
    """What an assessor asks first."""
    yield "Mandatory requirements of SATRE that Enclave alone does not meet, though software could evidence them:\n"
    for answer in (Answer.NOT_MET, Answer.SITE, Answer.PARTLY):
        found = [r.id for r in satre.requirements if r.answer is answer and r.software and r.level.startswith("M")]
        yield f"- **{answer}**: {', '.join(found) or 'none'}"
    yield ""


def _chapters(satre: Standard) -> Iterator[str]:
    chapters = {chapter: tuple(found) for chapter, found in groupby(satre.requirements, _chapter)}
    for pillar, capabilities in groupby(satre.capabilities, lambda capability: capability.pillar):
        yield f"### {pillar}\n"
        for capability in capabilities:
            yield f"#### {capability.id} {capability.title}\n\n{_table(chapters[capability.id])}"


def _chapter(requirement: Requirement) -> str:
    return requirement.id.rpartition(".")[0]


def _table(requirements: Iterable[Requirement]) -> str:
    lines = ["| clause | asks | answer | what Enclave does, what it leaves |", "| --- | --- | --- | --- |"]
    lines += [f"| **{r.id}**{_level(r)} | {r.asks} | **{r.answer}** | {_with_evidence(r)} |" for r in requirements]
    return "\n".join(lines) + "\n"


def _level(requirement: Requirement) -> str:
    return "<br>" + requirement.level.replace("*", "\\*") if requirement.level else ""


def _with_evidence(requirement: Requirement) -> str:
    lines = [requirement.says]
    if requirement.code:
        lines.append("Code: " + ", ".join(_link(path, path) for path in requirement.code))
    if requirement.tests:
        lines.append("Tests: " + ", ".join(_test_link(named) for named in requirement.tests))
    if requirement.docs:
        lines.append("Pages: " + ", ".join(_link(path, path) for path in requirement.docs))
    return "<br>".join(lines)


def _test_link(named: str) -> str:
    file, _, test = named.partition("::")
    return _link(test or file.rpartition("/")[2], file)


def _link(text: str, path: str) -> str:
    return f"[{text}](../../{path})"

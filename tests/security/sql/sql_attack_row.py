"""One row of the table of attacks on the query gateway: the statement, and what has to happen to it.

``{home}`` in a statement stands for the enclave's folder on the host, ``{other}`` for the other project's extract.
Whatever happens, no marker of ``MARKERS`` may stand in the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

IN_FILE = "MARKER-FILE-7f3a"
"""Stands in files of the host beside the extract."""
IN_OTHER_PROJECT = "MARKER-OTHER-51c9"
"""Stands in the other project's extract."""
IN_ENVIRONMENT = "MARKER-ENV-e0d4"
"""Stands in the environment of the front."""
IN_DROPPED_COLUMN = "MARKER-COLUMN-88b1"
"""Stands in a column of the source that the permit does not hold."""
IN_SCRATCH = "MARKER-SCRATCH-2c6e"
"""Stands in what another member of the same project keeps."""
MARKERS = (IN_FILE, IN_OTHER_PROJECT, IN_ENVIRONMENT, IN_DROPPED_COLUMN, IN_SCRATCH, "root:x:0:0")


class Ending(StrEnum):
    """What becomes of an attack."""

    GATE = "refused by the gate"
    ENGINE = "refused by the engine"
    HARMLESS = "allowed and harmless"


@dataclass(frozen=True)
class Expected:
    """``detail``: the gate's rule, a part of the engine's sentence, or why the answer is harmless."""

    ending: Ending
    detail: str


@dataclass(frozen=True)
class SqlAttack:
    """One row."""

    id: str
    group: str
    sql: str
    expected: Expected


def gate(rule: str) -> Expected:
    """Refused before any worker sees it, by this rule."""
    return Expected(Ending.GATE, rule)


def engine(part: str) -> Expected:
    """Passes the gate, fails in the sandbox with a sentence that holds this part."""
    return Expected(Ending.ENGINE, part)


def harmless(why: str) -> Expected:
    """Answered, because the answer tells nothing that is not the person's."""
    return Expected(Ending.HARMLESS, why)


def rows(letter: str, group: str, *pairs: tuple[str, Expected]) -> tuple[SqlAttack, ...]:
    """A group; ids are its letter and a number."""
    return tuple(SqlAttack(f"{letter}{n:02}", group, sql, expected) for n, (sql, expected) in enumerate(pairs, 1))


def each(expected: Expected, *statements: str) -> tuple[tuple[str, Expected], ...]:
    """The same expectation for several statements."""
    return tuple((sql, expected) for sql in statements)

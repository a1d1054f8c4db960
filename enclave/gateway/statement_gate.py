"""From a text to an examined statement: length cap, EXPLAIN, DuckDB's parser, the gate. Remembers recent answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from enclave.domain.person_rules import NO_RULES, PersonRules
from enclave.gateway.gate import ExaminedStatement, StatementRefusedError, examine
from enclave.gateway.parser import StatementParser
from enclave.gateway.recent import Recent
from enclave.gateway.scratch_gate import ScratchGate
from enclave.gateway.scratch_names import NO_SCRATCH, ScratchNames
from enclave.gateway.scratch_statements import parse_scratch

_REMEMBERED = 256
_REMEMBERED_CHARACTERS = 10_000
_EXPLAINED = "select|with|from|values|table|describe|summarize|pivot|pivot_wider|unpivot|pivot_longer"
_EXPLAIN = re.compile(rf"\s*explain\s+(?:analyze\s+)?(?=(?:{_EXPLAINED})\b)", re.I)
_PIVOT = re.compile(r"\bpivot(?:_wider)?\b", re.I)
_PIVOT_SENTENCE = (
    "PIVOT has to be told its values, because a query's columns must be known before it reads rows. "
    "Write PIVOT table ON column IN ('a', 'b') USING …; SELECT DISTINCT column FROM table shows which there are."
)


_Key = tuple[str, frozenset[str], frozenset[str], bool]
_MAY_BE_SCRATCH = frozenset({"table", "function", "table-function"})


@dataclass(frozen=True)
class ScratchView:
    """How to learn what a person keeps; asked only when a statement needs it. ``extract``: version in use."""

    names: Callable[[], ScratchNames] = lambda: NO_SCRATCH
    extract: str = ""
    rules: PersonRules = NO_RULES
    """The permit's rules for the person."""

    def load(self) -> ScratchNames:
        """The names, judged by the rules in force."""
        return self.names().under(self.rules)


NO_SCRATCH_VIEW = ScratchView()


class StatementGate:
    """One per front; thread-safe."""

    def __init__(self) -> None:
        self._recent: Recent[_Key, ExaminedStatement] = Recent(_REMEMBERED)

    def check(
        self,
        sql: str,
        tables: frozenset[str],
        maximum_characters: int,
        parser: StatementParser,
        people: frozenset[str] = frozenset(),
        scratch: ScratchView = NO_SCRATCH_VIEW,
        *,
        is_ours: bool = False,
    ) -> ExaminedStatement:
        """Raises StatementRefusedError. ``people``: the columns that carry a person's pseudonym. ``is_ours``: see gate.

        A statement that passes without the person's own objects means the same with them, because the extract's names
        win; so those are asked for only when it does not, and only such answers are remembered.
        """
        _check_text(sql, maximum_characters)
        key = (sql, tables, people, is_ours)
        if (known := self._recent.find(key)) is not None:
            return known
        head = parse_scratch(sql)
        if head is not None:
            return ScratchGate(parser.parse, tables, scratch.load(), scratch.extract).examine(head)
        plain = _without_explain(sql)
        document = parser.parse(plain)
        try:
            found = _marked(examine(document, tables, people, is_ours=is_ours), plain != sql)
        except StatementRefusedError as error:
            if error.rule == "statement" and _PIVOT.search(plain):
                raise StatementRefusedError("pivot", _PIVOT_SENTENCE) from None
            names = scratch.load() if error.rule in _MAY_BE_SCRATCH else NO_SCRATCH
            if not names.objects:
                raise
            return _marked(examine(document, tables, people, names), plain != sql)
        if len(sql) <= _REMEMBERED_CHARACTERS:
            self._recent.keep(key, found)
        return found


def _check_text(sql: str, maximum_characters: int) -> None:
    if len(sql) > maximum_characters:
        raise StatementRefusedError(
            "statement-characters",
            f"The data permit allows {maximum_characters} characters for one statement, found {len(sql)}. Shorten it.",
        )
    if "\x00" in sql:
        raise StatementRefusedError("syntax", "Expected text, found a zero character in the statement. Remove it.")


def _marked(found: ExaminedStatement, explained: bool) -> ExaminedStatement:
    return replace(found, verb="explain", counts=(), scanned=None) if explained else found


def _without_explain(sql: str) -> str:
    """What EXPLAIN explains: the parser serialises only queries, and the gate must see the explained one."""
    found = _EXPLAIN.match(sql)
    return sql[found.end() :] if found else sql

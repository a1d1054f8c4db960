"""From a text to an examined statement: length cap, EXPLAIN, DuckDB's parser, the gate. Remembers recent answers."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import replace

from enclave.gateway.gate import ExaminedStatement, StatementRefusedError, examine
from enclave.gateway.parser import StatementParser

_REMEMBERED = 256
_REMEMBERED_CHARACTERS = 10_000
_EXPLAIN = re.compile(r"\s*explain\s+(?:analyze\s+)?(?=(?:select|with|from|values|table|describe|summarize)\b)", re.I)


class StatementGate:
    """One per front; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: OrderedDict[tuple[str, frozenset[str], frozenset[str]], ExaminedStatement] = OrderedDict()

    def check(
        self,
        sql: str,
        tables: frozenset[str],
        maximum_characters: int,
        parser: StatementParser,
        people: frozenset[str] = frozenset(),
    ) -> ExaminedStatement:
        """Raises StatementRefusedError. ``people``: the columns that carry a person's pseudonym."""
        if len(sql) > maximum_characters:
            raise StatementRefusedError(
                "statement-characters",
                f"The data permit allows {maximum_characters} characters for one statement, found {len(sql)}. "
                "Shorten it.",
            )
        if "\x00" in sql:
            raise StatementRefusedError("syntax", "Expected text, found a zero character in the statement. Remove it.")
        key = (sql, tables, people)
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
        plain = _without_explain(sql)
        found = examine(parser.parse(plain), tables, people)
        if plain != sql:
            found = replace(found, verb="explain", counts=())
        if len(sql) <= _REMEMBERED_CHARACTERS:
            with self._lock:
                self._recent[key] = found
                while len(self._recent) > _REMEMBERED:
                    self._recent.popitem(last=False)
        return found


def _without_explain(sql: str) -> str:
    """What EXPLAIN explains: the parser serialises only queries, and the gate must see the explained one."""
    found = _EXPLAIN.match(sql)
    return sql[found.end() :] if found else sql

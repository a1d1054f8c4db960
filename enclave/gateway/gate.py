"""The statement gate: is this one statement a query over the project's own tables and harmless functions?

Input is the tree of DuckDB's own parser (``enclave.gateway.parser``), so that gate and engine cannot read a text
differently. Everything is an allow-list: node kinds, expression classes, table names, table functions, functions; what
is not listed is refused (fail closed). Nothing here binds or runs anything – binding executes constants, so it happens
in the sandboxed worker after the intent is on record.

How the tree is walked: ``gate_walk``. Non-goals: resource use (limits and the sandbox see to that), columns (the
extract holds only permitted ones).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from enclave.gateway.gate_walk import (
    ALLOWED_FUNCTIONS,
    CATALOG,
    NUMBERED,
    READ_ONLY,
    TABLE_FUNCTIONS,
    StatementRefusedError,
    Walk,
    barred,
    folded,
)
from enclave.gateway.plain_scans import find_scanned_table
from enclave.gateway.populations import CountColumn, count_columns, verb_of
from enclave.gateway.scratch_names import NO_SCRATCH, ScratchNames, ScratchWrite

__all__ = [
    "ALLOWED_FUNCTIONS",
    "CATALOG",
    "NUMBERED",
    "TABLE_FUNCTIONS",
    "ExaminedStatement",
    "StatementRefusedError",
    "barred",
    "examine",
    "template_sha256",
]


@dataclass(frozen=True)
class ExaminedStatement:
    """What the gate learned about a statement it lets through."""

    tables: tuple[str, ...]
    """Names as the manifest spells them, sorted; ``scratch.name`` for the person's own."""
    template_sha256: str
    """SHA-256 of the parser's tree with literals and positions taken out: the same question has the same hash."""
    verb: str = "select"
    counts: tuple[CountColumn, ...] = ()
    write: ScratchWrite | None = None
    """What the worker runs instead, for a statement that changes the person's scratch space."""
    scanned: str | None = None
    """The one table it reads row by row, when it is a plain scan (``plain_scans``): it may be run in parts."""


def examine(
    document: str,
    tables: frozenset[str],
    people: frozenset[str] = frozenset(),
    scratch: ScratchNames = NO_SCRATCH,
    *,
    is_ours: bool = False,
) -> ExaminedStatement:
    """Decide about one parsed statement. ``document`` is the parser's JSON, ``tables`` the manifest's names.

    ``people``: names of person columns, for recognising counts of people. ``scratch``: what the person keeps; a name of
    the extract always wins over one of those. ``is_ours``: the gateway put the text together around one that has passed
    (``row_ranges``), so it may name the numbered views.

    Raises StatementRefusedError with a rule name and a sentence.
    """
    try:
        tree = json.loads(document)
        statement = _only_statement(tree)
        known = {folded(name): name for name in tables}
        walk = Walk(known, scratch, is_ours)
        walk.any(statement, frozenset())
        used, counts = tuple(sorted(walk.used)), count_columns(statement, people)
        scanned = find_scanned_table(statement, known)
        return ExaminedStatement(used, _template_sha256(statement), verb_of(statement), counts, scanned=scanned)
    except RecursionError as error:
        raise StatementRefusedError("too-deep", "This statement is nested too deeply. Split it into steps.") from error


def _only_statement(tree: Any) -> dict[str, Any]:
    if not isinstance(tree, dict) or tree.get("error") is not False:
        return _refuse_unparsed(tree if isinstance(tree, dict) else {})
    statements = tree.get("statements")
    if not isinstance(statements, list) or len(statements) != 1:
        found = len(statements) if isinstance(statements, list) else 0
        raise StatementRefusedError(
            "one-statement", f"Expected one statement, found {found}. Send statements one at a time."
        )
    if not isinstance(statements[0], dict) or not isinstance(statements[0].get("node"), dict):
        raise StatementRefusedError("unknown-node", "Expected a query, found something the gateway does not know.")
    return statements[0]


def _refuse_unparsed(tree: dict[str, Any]) -> dict[str, Any]:
    if tree.get("error_type") == "not implemented":
        raise StatementRefusedError("statement", READ_ONLY)
    position = tree.get("position")
    where = f" near character {int(position) + 1}" if isinstance(position, str) and position.isdigit() else ""
    raise StatementRefusedError("syntax", f"Syntax error{where}: this is not a statement DuckDB understands. Check it.")


def template_sha256(document: str) -> str:
    """The template of one parsed statement, whatever it is; raises StatementRefusedError when it is not one."""
    return _template_sha256(_only_statement(json.loads(document)))


def _template_sha256(statement: dict[str, Any]) -> str:
    plain = json.dumps(_template(statement), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()


def _template(item: Any) -> Any:
    if isinstance(item, list):
        return [_template(part) for part in item]
    if not isinstance(item, dict):
        return item
    if item.get("class") == "CONSTANT":
        return "?"
    return {key: _template(value) for key, value in item.items() if not key.startswith("query_location")}

"""The gate for statements that keep something: the query in them is examined like any other, the target's name checked.

Rules: only the person's own scratch space is changed; no name of the extract, of DuckDB's functions or of another kind
of object of one's own is taken, so that nothing can be shadowed; INSERT, DELETE, TRUNCATE and DROP need an object that
is there. What a statement reads becomes part of the object, so that later queries over it record the extract's tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from enclave.gateway.gate import (
    ALLOWED_FUNCTIONS,
    TABLE_FUNCTIONS,
    ExaminedStatement,
    StatementRefusedError,
    barred,
    examine,
)
from enclave.gateway.scratch_names import (
    LASTING,
    TEMPORARY,
    ScratchKind,
    ScratchNames,
    ScratchObject,
    ScratchWrite,
)
from enclave.gateway.scratch_statements import ScratchStatement, compose

_MAXIMUM_OBJECTS = 1000


@dataclass(frozen=True)
class ScratchGate:
    """Everything a decision needs: DuckDB's parser, the extract's names and version, the person's objects.

    ``names`` carry the rules in force: what a table is made under is written beside it.
    """

    parse: Callable[[str], str]
    tables: frozenset[str]
    names: ScratchNames
    extract: str

    def examine(self, statement: ScratchStatement) -> ExaminedStatement:
        """Raises StatementRefusedError."""
        known = self.names.find(statement.name)
        if statement.makes:
            self._check_name(statement, known)
        else:
            known = self._check_known(statement, known)
        read = self._question(statement, known)
        if statement.makes and statement.lenient and known is not None:
            return self._nothing(statement, read)
        item = self._after(statement, known, read)
        tables = set(read.tables)
        if known is not None and statement.verb == "delete":
            tables |= self.names.sources(known)
        tables_read = tuple(sorted(tables))
        return ExaminedStatement(
            tables_read, _template(statement, read), statement.verb, write=compose(statement, item)
        )

    def _question(self, statement: ScratchStatement, known: ScratchObject | None) -> ExaminedStatement:
        text = statement.question
        if statement.verb == "delete" and statement.body and known is not None:
            text = f'SELECT 1 FROM {known.space}.main."{known.name}" WHERE {statement.body}'  # noqa: S608 checked name
        if not text:
            return ExaminedStatement((), "")
        document = self.parse(text)
        if statement.kind is ScratchKind.MACRO and statement.makes:
            _check_one_expression(document)
        return examine(document, self.tables, frozenset(), self.names)

    def _check_name(self, statement: ScratchStatement, known: ScratchObject | None) -> None:
        name = statement.name
        if name.lower() in {table.lower() for table in self.tables}:
            raise StatementRefusedError(
                "scratch-shadows",
                f"{name} is a table of the extract, and nothing may stand in front of it. Choose another name.",
            )
        if name.lower() in ALLOWED_FUNCTIONS or name.lower() in TABLE_FUNCTIONS:
            raise StatementRefusedError(
                "scratch-shadows",
                f"{name} is a function of DuckDB, and nothing may stand in front of it. Choose another name.",
            )
        space = TEMPORARY if statement.temporary else LASTING
        if known is not None and (known.kind is not statement.kind or known.space != space):
            raise StatementRefusedError(
                "scratch-name",
                f"You already keep a {_shown(known)} named {known.name}. Drop it, or choose another name.",
            )
        if known is not None and not statement.or_replace and not statement.lenient:
            raise StatementRefusedError(
                "scratch-name", f"You already keep {known.name}. Write CREATE OR REPLACE, or choose another name."
            )
        if known is None and len(self.names.objects) >= _MAXIMUM_OBJECTS:
            raise StatementRefusedError(
                "scratch-objects", f"Your scratch space holds {_MAXIMUM_OBJECTS} objects, as many as it may. Drop some."
            )

    def _check_known(self, statement: ScratchStatement, known: ScratchObject | None) -> ScratchObject:
        if known is None and statement.verb.startswith("drop-") and statement.lenient:
            return ScratchObject(statement.name, statement.kind, statement.in_space or LASTING)
        is_it = known is not None and known.kind is statement.kind and statement.in_space in ("", known.space)
        if known is None or not is_it:
            raise StatementRefusedError(
                "scratch-target",
                f"You keep no {statement.kind.replace('-', ' ')} named {statement.name} in your scratch space, and the "
                "extract is read-only. SHOW TABLES lists what is there.",
            )
        if not statement.verb.startswith("drop-") and known.is_barred(self.names.rules):
            raise barred(known)
        return known

    def _after(
        self, statement: ScratchStatement, known: ScratchObject | None, read: ExaminedStatement
    ) -> ScratchObject:
        if statement.makes:
            space = TEMPORARY if statement.temporary else LASTING
            rules = self._rules_of(read, ())
            return ScratchObject(statement.name, statement.kind, space, read.tables, self.extract, rules)
        assert known is not None  # noqa: S101 - _check_known refused otherwise
        reads = tuple(sorted({*known.reads, *read.tables}))
        return replace(known, reads=reads, rules=self._rules_of(read, known.rules))

    def _rules_of(self, read: ExaminedStatement, before: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """What the object is made under now; a table read without a rule loses the one it was read under before."""
        kept = {table: digest for table, digest in before if table not in read.tables}
        return tuple(sorted({**kept, **self.names.rules.digests_of(read.tables)}.items()))

    def _nothing(self, statement: ScratchStatement, read: ExaminedStatement) -> ExaminedStatement:
        """IF NOT EXISTS, and it exists."""
        write = ScratchWrite(statement.name, statement.kind, "SELECT 0::BIGINT", grows=False)
        return ExaminedStatement(read.tables, _template(statement, read), statement.verb, write=write)


def _shown(item: ScratchObject) -> str:
    return f"{'temporary ' if item.space == TEMPORARY else ''}{item.kind.replace('-', ' ')}"


def _check_one_expression(document: str) -> None:
    """A scalar macro's body is one expression; the parser saw it as ``SELECT (body)``."""
    tree = json.loads(document)
    statements = tree.get("statements") or [{}]
    node = statements[0].get("node", {})
    plain = node.get("type") == "SELECT_NODE" and (node.get("from_table") or {}).get("type") == "EMPTY"
    if tree.get("error") is False and not (plain and len(node.get("select_list", ())) == 1):
        raise StatementRefusedError(
            "scratch-form", "Expected one expression after AS, found more. Write it in parentheses."
        )


def _template(statement: ScratchStatement, read: ExaminedStatement) -> str:
    content = f"{statement.verb}:{statement.name.lower()}:{read.template_sha256}"
    return hashlib.sha256(content.encode()).hexdigest()

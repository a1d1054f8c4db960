"""The head of a statement that keeps something: CREATE, DROP, INSERT, DELETE, TRUNCATE in a person's scratch space.

DuckDB's parser serialises only queries, so these few heads are read here: an allow-list of forms, ASCII names, and
whatever is not certain is refused with a sentence. What follows the head is a query (or one expression) that goes
through the gate like any other, as ``question``, and is put behind a head that we write ourselves (``compose``): the
text the person typed as a head never reaches the engine.

Forms: CREATE [OR REPLACE] [TEMP] TABLE|VIEW [IF NOT EXISTS] name AS query · CREATE [OR REPLACE] [TEMP] MACRO|FUNCTION
name(a, b) AS expression | AS TABLE query · DROP TABLE|VIEW|MACRO|FUNCTION [TABLE] [IF EXISTS] name · INSERT INTO name
[(columns)] [BY NAME] query · DELETE FROM name [WHERE condition] · TRUNCATE [TABLE] name. A name may carry ``scratch.``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.scratch_names import LASTING, TEMPORARY, ScratchKind, ScratchObject, ScratchWrite

_SPACE = re.compile(r"(?:[ \t\r\n\f]+|--[^\n\r]*(?:[\n\r]|$)|/\*(?:(?!/\*)[\s\S])*?\*/)*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_$\x80-\U0010ffff])")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_QUOTED = re.compile(r'"([^"\x00]{1,63})"(?!")')
_HEADS = frozenset({"CREATE", "DROP", "INSERT", "DELETE", "TRUNCATE"})
_RESERVED_PREFIXES = ("duckdb_", "pragma_", "sqlite_", "pg_", "information_schema", "__", "read_", "parquet_")
_RESERVED = frozenset({"extract", LASTING, TEMPORARY, "main", "system", "temp"})
_KINDS = {
    "TABLE": ScratchKind.TABLE,
    "VIEW": ScratchKind.VIEW,
    "MACRO": ScratchKind.MACRO,
    "FUNCTION": ScratchKind.MACRO,
}
_FORMS = (
    "In your scratch space these are possible: CREATE [OR REPLACE] [TEMP] TABLE or VIEW name AS SELECT …, "
    "CREATE MACRO name(a) AS …, INSERT INTO name SELECT …, DELETE FROM name WHERE …, TRUNCATE name, DROP TABLE name. "
    "Names are of letters a to z, digits and _."
)


@dataclass(frozen=True)
class ScratchStatement:
    """One statement taken apart. ``question`` is what the gate examines, ``body`` what the engine gets."""

    verb: str
    kind: ScratchKind
    name: str
    question: str = ""
    body: str = ""
    temporary: bool = False
    or_replace: bool = False
    lenient: bool = False
    """IF NOT EXISTS, IF EXISTS."""
    names: tuple[str, ...] = ()
    """Parameters of a macro, columns of an INSERT."""
    by_name: bool = False
    in_space: str = ""
    """The catalog the person wrote before the name, if any."""

    @property
    def makes(self) -> bool:
        return self.verb.startswith("create-")


def parse_scratch(sql: str) -> ScratchStatement | None:
    """The statement, or None when it does not begin like one of these. Raises StatementRefusedError when unsure."""
    head = _Head(sql)
    verb = head.word()
    if verb not in _HEADS:
        return None
    match verb:
        case "CREATE":
            return _create(head)
        case "DROP":
            return _drop(head)
        case "INSERT":
            return _insert(head)
        case "DELETE":
            return _delete(head)
        case _:
            return _truncate(head)


class _Head:
    """Reads words, names and signs from the left; everything else refuses."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._skip()

    def word(self) -> str | None:
        """The next bare word in capitals, consumed; None when there is something else."""
        found = _WORD.match(self._text, self._at)
        if found is None:
            return None
        self._move(found.end())
        return found[0].upper()

    def take(self, *words: str) -> bool:
        """Consume these words if they come next."""
        before = self._at
        for word in words:
            if self.word() != word:
                self._at = before
                return False
        return True

    def sign(self, sign: str) -> bool:
        """Consume this sign if it comes next."""
        if not self._text.startswith(sign, self._at):
            return False
        self._move(self._at + len(sign))
        return True

    def need(self, *words: str) -> None:
        if not self.take(*words):
            refuse()

    def name(self) -> str:
        """One plain name, quoted or not."""
        quoted = _QUOTED.match(self._text, self._at)
        bare = _WORD.match(self._text, self._at)
        found, text = (quoted, quoted[1]) if quoted else (bare, bare[0] if bare else "")
        if found is None or not _NAME.fullmatch(text):
            refuse()
        self._move(found.end())
        return text

    def target(self) -> tuple[str, str]:
        """(catalog or "", name): ``name``, ``scratch.name`` or ``scratch.main.name``."""
        parts = [self.name()]
        while self.sign("."):
            parts.append(self.name())
        space = [part.lower() for part in parts[:-1]]
        if space not in ([], [LASTING], [LASTING, "main"], [TEMPORARY], [TEMPORARY, "main"]):
            raise StatementRefusedError(
                "scratch-target",
                f"Only your scratch space can be changed. Write {LASTING}.{parts[-1]}, or the name alone.",
            )
        return (space[0] if space else ""), parts[-1]

    def list(self) -> tuple[str, ...]:
        """Names in parentheses; the opening one is already taken."""
        names: list[str] = []
        if self.sign(")"):
            return ()
        while True:
            names.append(self.name())
            if self.sign(")"):
                return tuple(names)
            if not self.sign(","):
                refuse()

    def rest(self) -> str:
        """Everything left, without a closing semicolon."""
        return self._text[self._at :].rstrip().removesuffix(";").rstrip() or refuse()

    def end(self) -> None:
        self.sign(";")
        if self._at != len(self._text):
            refuse()

    def _move(self, position: int) -> None:
        self._at = position
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at


def refuse() -> NoReturn:
    """Unsure is no."""
    raise StatementRefusedError("scratch-form", _FORMS)


def _create(head: _Head) -> ScratchStatement:
    or_replace = head.take("OR", "REPLACE")
    temporary = head.take("TEMP") or head.take("TEMPORARY")
    kind = _KINDS.get(head.word() or "") or refuse()
    lenient = head.take("IF", "NOT", "EXISTS")
    space, name = head.target()
    _check_new_name(name)
    if lenient and or_replace:
        refuse()
    if (temporary and space == LASTING) or (space == TEMPORARY and not temporary):
        refuse()
    names: tuple[str, ...] = ()
    if kind is ScratchKind.MACRO:
        names = head.list() if head.sign("(") else refuse()
    head.need("AS")
    if kind is ScratchKind.MACRO and head.take("TABLE"):
        kind = ScratchKind.TABLE_MACRO
    body = head.rest()
    question = body
    if kind is ScratchKind.MACRO:
        body = f"({body}\n)"
        question = f"SELECT {body}"
    return ScratchStatement(
        f"create-{kind}", kind, name, question, body, temporary, or_replace, lenient, names, in_space=space
    )


def _drop(head: _Head) -> ScratchStatement:
    kind = _KINDS.get(head.word() or "") or refuse()
    if kind is ScratchKind.MACRO and head.take("TABLE"):
        kind = ScratchKind.TABLE_MACRO
    lenient = head.take("IF", "EXISTS")
    space, name = head.target()
    head.end()
    return ScratchStatement(f"drop-{kind}", kind, name, lenient=lenient, in_space=space)


def _insert(head: _Head) -> ScratchStatement:
    head.need("INTO")
    space, name = head.target()
    names = head.list() if head.sign("(") else ()
    by_name = head.take("BY", "NAME")
    body = head.rest()
    return ScratchStatement("insert", ScratchKind.TABLE, name, body, body, names=names, by_name=by_name, in_space=space)


def _delete(head: _Head) -> ScratchStatement:
    head.need("FROM")
    space, name = head.target()
    if not head.take("WHERE"):
        head.end()
        return ScratchStatement("delete", ScratchKind.TABLE, name, in_space=space)
    body = f"({head.rest()}\n)"
    return ScratchStatement("delete", ScratchKind.TABLE, name, body=body, in_space=space)


def _truncate(head: _Head) -> ScratchStatement:
    head.take("TABLE")
    space, name = head.target()
    head.end()
    return ScratchStatement("truncate", ScratchKind.TABLE, name, in_space=space)


def _check_new_name(name: str) -> None:
    if name.lower().startswith(_RESERVED_PREFIXES) or name.lower() in _RESERVED:
        raise StatementRefusedError("scratch-name", f"The name {name} looks like a system name. Choose another one.")


def compose(statement: ScratchStatement, item: ScratchObject) -> ScratchWrite:
    """The statement in our own words. ``item``: the object as it is afterwards (or was, for DROP)."""
    target = f'{item.space}.main."{item.name}"'
    note = (f"COMMENT ON {_NOUN[item.kind]} {target} IS '{item.comment().replace(chr(39), chr(39) * 2)}'",)
    columns = ", ".join(f'"{name}"' for name in statement.names)
    match statement.verb:
        case "insert":
            listed = f" ({columns})" if columns else ""
            by_name = " BY NAME" if statement.by_name else ""
            sql = f"INSERT INTO {target}{listed}{by_name} {statement.body}"
            return ScratchWrite(item.name, item.kind, sql, note)
        case "delete":
            where = f" WHERE {statement.body}" if statement.body else ""
            return ScratchWrite(item.name, item.kind, f"DELETE FROM {target}{where}", grows=False)  # noqa: S608
        case "truncate":
            return ScratchWrite(item.name, item.kind, f"TRUNCATE {target}", grows=False)
        case verb if verb.startswith("drop-"):
            lenient = "IF EXISTS " if statement.lenient else ""
            sql = f"DROP {_NOUN[item.kind]} {lenient}{target}"
            return ScratchWrite(item.name, item.kind, sql, grows=False)
    replace = "OR REPLACE " if statement.or_replace else ""
    if item.kind in (ScratchKind.MACRO, ScratchKind.TABLE_MACRO):
        table = "TABLE " if item.kind is ScratchKind.TABLE_MACRO else ""
        sql = f"CREATE {replace}MACRO {target}({columns}) AS {table}{statement.body}"
    else:
        sql = f"CREATE {replace}{_NOUN[item.kind]} {target} AS {statement.body}"
    return ScratchWrite(item.name, item.kind, sql, note, makes=True)


_NOUN = {
    ScratchKind.TABLE: "TABLE",
    ScratchKind.VIEW: "VIEW",
    ScratchKind.MACRO: "MACRO",
    ScratchKind.TABLE_MACRO: "MACRO TABLE",
}

"""One column's treatment as SQL, or why its type does not allow the treatment (pure).

Fail closed: a type that is not listed here does not enter an extract.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import assert_never

from enclave.domain.permits import PermittedColumn, Treatment
from enclave.extracts.pseudonyms import pseudonym_sql
from enclave.extracts.source_schema import SourceColumn, quote

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_INTEGERS = frozenset(_SIGNED) | {f"U{name}" for name in _SIGNED}
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_STAMPS = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"})
_OTHERS = frozenset({"BOOLEAN", "TIME", "UUID", "INTERVAL"})
_WORDS = {"text": "text", "integer": "a whole number", "number": "a number", "date": "a date or timestamp"}


@dataclass(frozen=True)
class ColumnProblem:
    """What the treatment expected and what was found."""

    message: str


@dataclass(frozen=True)
class ColumnContext:
    """What a column's SQL depends on besides the column."""

    is_personal: bool
    shifting: bool
    spaces: tuple[str, ...]
    """Identifier spaces; the position of a space is the number of its key variables."""


def type_class(column: SourceColumn) -> str:
    """``integer``, ``number``, ``date``, ``text``, ``enum``, ``empty``, ``other`` or ``unknown``."""
    kind = column.type
    if column.is_empty:
        return "empty"
    if kind in _INTEGERS or re.fullmatch(r"DECIMAL\(\d+,\s?0\)", kind):
        return "integer"
    if kind in _FLOATS or kind.startswith("DECIMAL("):
        return "number"
    if kind == "DATE" or kind in _STAMPS:
        return "date"
    if kind.startswith("ENUM(") and not kind.endswith("]"):
        return "enum"
    if kind == "VARCHAR":
        return "text"
    return "other" if kind in _OTHERS else "unknown"


def identifier_text(column: SourceColumn) -> str:
    """SQL for the canonical text of an identifier: trimmed, a whole number without a fraction, NULL when blank."""
    text = f"trim(CAST(s.{quote(column.name)} AS VARCHAR))"
    if type_class(column) == "number":
        text = f"regexp_replace({text}, '\\.0*$', '')"
    return f"nullif({text}, '')"


def column_sql(wanted: PermittedColumn, column: SourceColumn, context: ColumnContext) -> str | ColumnProblem:
    """SQL over ``s`` (the source's row) and ``p`` (the person: ``pseudonym``, ``shift``) for one permitted column."""
    source = f"s.{quote(column.name)}"
    match wanted.treatment:
        case Treatment.KEEP:
            return _keep(source, column, context)
        case Treatment.PERSON_PSEUDONYM:
            # Another person named in the row (a mother) who opted out is not in "people", hence NULL.
            return f"(SELECT o.pseudonym FROM people o WHERE o.key = {identifier_text(column)})"  # noqa: S608
        case Treatment.PSEUDONYM:
            return _pseudonym(wanted, column, context)
        case Treatment.SHIFT_DATE:
            shifted = f"{source} + p.shift" if column.type == "DATE" else f"{source} + to_days(p.shift)"
            return _dated(column, wanted.treatment, shifted)
        case Treatment.YEAR | Treatment.MONTH:
            return _dated(column, wanted.treatment, f"CAST(date_trunc('{wanted.treatment}', {source}) AS DATE)")
        case Treatment.BAND | Treatment.TOP:
            return _numbered(wanted, column, source)
        case Treatment.TRUNCATE:
            return _truncated(wanted, column, source, context)
    assert_never(wanted.treatment)


def _expected(treatment: Treatment, wanted: str, column: SourceColumn) -> ColumnProblem:
    return ColumnProblem(
        f"expected {wanted} for {treatment}, found the type {column.type[:40]}; choose another treatment."
    )


def _keep(source: str, column: SourceColumn, context: ColumnContext) -> str | ColumnProblem:
    found = type_class(column)
    if found == "unknown":
        return _expected(Treatment.KEEP, "a plain type (number, text, date, boolean)", column)
    if context.is_personal and context.shifting and (found == "date" or column.looks_like_date):
        return ColumnProblem(
            "expected shift-date, year or month for a date of a person, found keep while dates are shifted; "
            "change the treatment or remove the column."
        )
    # An ENUM type carries all its words, also those of rows that were left behind.
    return f"CAST({source} AS VARCHAR)" if found in {"enum", "empty"} else source


def _pseudonym(wanted: PermittedColumn, column: SourceColumn, context: ColumnContext) -> str | ColumnProblem:
    if type_class(column) not in {"integer", "number", "text", "enum", "empty"} and column.type != "UUID":
        return _expected(wanted.treatment, "an identifier (number, text or UUID)", column)
    number = context.spaces.index(space_of(wanted))
    return pseudonym_sql(identifier_text(column), f"getvariable('inner_{number}')", f"getvariable('outer_{number}')")


def space_of(column: PermittedColumn) -> str:
    """The identifier space of a ``pseudonym`` column: its argument or its own name."""
    return (column.argument or column.name).lower()


def _dated(column: SourceColumn, treatment: Treatment, sql: str) -> str | ColumnProblem:
    found = type_class(column)
    if found == "empty":
        return "CAST(NULL AS DATE)"
    return sql if found == "date" else _expected(treatment, _WORDS["date"], column)


def _numbered(wanted: PermittedColumn, column: SourceColumn, source: str) -> str | ColumnProblem:
    found, argument = type_class(column), wanted.argument or "1"
    if found == "empty":
        return "CAST(NULL AS BIGINT)"
    if found not in {"integer", "number"}:
        return _expected(wanted.treatment, _WORDS["number"], column)
    whole = found == "integer" and "." not in argument
    target = column.type if whole else "DOUBLE"
    if wanted.treatment is Treatment.TOP:
        return f"CAST(CASE WHEN {source} > {argument} THEN {argument} ELSE {source} END AS {target})"
    if whole:
        return f"CAST({source} - (({source} % {argument}) + {argument}) % {argument} AS {target})"
    return f"floor(CAST({source} AS DOUBLE) / {argument}) * {argument}"


def _truncated(
    wanted: PermittedColumn, column: SourceColumn, source: str, context: ColumnContext
) -> str | ColumnProblem:
    if type_class(column) not in {"text", "enum", "integer", "empty"}:
        return _expected(wanted.treatment, _WORDS["text"], column)
    if context.is_personal and context.shifting and column.looks_like_date:
        return ColumnProblem("expected text for truncate, found dates written as text; give the column a date type.")
    return f"left(CAST({source} AS VARCHAR), {wanted.argument})"

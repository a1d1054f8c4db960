"""DuckDB's errors as sentences without values from rows.

Binder, catalogue and parser messages repeat only names and text the person typed, so they pass (without the excerpt of
the statement). Conversion, input and range messages quote values, so they become sentences of ours; type and column
names are kept.
"""

from __future__ import annotations

import re

import duckdb

_PASSED = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.NotImplementedException)
_CAST = re.compile(r"to (?P<type>[A-Z0-9_]+)(?: when casting from source column (?P<column>\w+))?")
_MAXIMUM = 600

_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (duckdb.OutOfRangeException, "A number is outside the range of its type. Cast to a wider type, or use TRY_CAST."),
    (
        duckdb.OutOfMemoryException,
        "The query needs more memory, or room on disk to work in, than your worker has. Select fewer columns or filter "
        "earlier.",
    ),
    (duckdb.InvalidInputException, "A function was given a value it cannot work with. Filter such values out first."),
    (duckdb.InvalidTypeException, "A value has a type the expression cannot work with. Cast it."),
    (duckdb.ConstraintException, "A value does not fit the expression. Filter such values out first."),
    (duckdb.PermissionException, "The worker may not do this: it reads the extract and nothing else."),
    (duckdb.IOException, "The worker may not do this: it reads the extract and nothing else."),
)


def describe_engine_error(error: Exception) -> str:
    """A sentence for the reader: kind of error, then what happened or what to do. Never a row value."""
    kind = type(error).__name__.removesuffix("Exception")
    if isinstance(error, duckdb.ConversionException):
        return _conversion(str(error))
    if isinstance(error, _PASSED):
        return _without_excerpt(str(error))
    for known, sentence in _SENTENCES:
        if isinstance(error, known):
            return f"{kind} error: {sentence}"
    return f"{kind} error: the query could not be finished. Simplify it; if it stays, tell the administrator."


def _conversion(message: str) -> str:
    found = _CAST.search(message)
    target = f" to {found['type']}" if found else ""
    column = f" from column {found['column']}" if found and found["column"] else ""
    return f"Conversion error: a value{column} cannot be converted{target}. Use TRY_CAST to get NULL instead."


def _without_excerpt(message: str) -> str:
    text = message.split("\n\nLINE ", 1)[0].strip()
    return text if len(text) <= _MAXIMUM else text[:_MAXIMUM] + "…"


def is_fatal(error: Exception) -> bool:
    """True when the whole database instance is unusable afterwards, so that the worker has to be replaced."""
    return isinstance(error, (duckdb.FatalException, duckdb.InternalException))

"""DuckDB's errors as sentences without values from rows.

Messages about names and types – binder, catalogue, parser – repeat only what the person typed, so they pass, without
the excerpt of the statement and without an ENUM's values; but only where binding alone gives the same message: some
functions raise the same kinds of error while they run, about the row at hand (``timezone(column, …)``). Conversion,
input and range messages quote values, so they become sentences of ours; the type is kept when it is one we know, the
column's name when the person typed it.

An error in the middle of a stream reaches Python as OSError with DuckDB's text (pyarrow reads the stream);
``stream_error`` gives it its kind back.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import duckdb

_PASSED = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.NotImplementedException)
_TYPE = (
    r"U?INT(?:8|16|32|64|128)|FLOAT|DOUBLE|BOOL|DECIMAL\(\d+, ?\d+\)|DATE|TIME|TIME WITH TIME ZONE|TIMESTAMP"
    r"|TIMESTAMP_(?:S|MS|NS)|TIMESTAMP WITH TIME ZONE|INTERVAL|UUID|BIT|BLOB|VARCHAR|JSON"
)
_CAST = re.compile(rf"(?:to|type) (?P<type>{_TYPE})(?: when casting from source column (?P<column>\w+))?\Z")
"""At the very end: whatever stands before it may be part of a value."""
_ENUM = re.compile(r"ENUM\(\s*(?:'(?:[^']|'')*'[,\s]*)*(?:'(?:[^']|'')*|\.\.\.)?\)?")
_MAXIMUM = 600
_TOO_MUCH_TEXT = "Invalid Input Error: Arrow Appender: The maximum total string size"
_MEMORY = "The query needs more memory, or room on disk to work in, than your worker has."

_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (duckdb.OutOfRangeException, "A number is outside the range of its type. Cast to a wider type, or use TRY_CAST."),
    (duckdb.OutOfMemoryException, f"{_MEMORY} Select fewer columns or filter earlier."),
    (duckdb.InvalidInputException, "A function was given a value it cannot work with. Filter such values out first."),
    (duckdb.InvalidTypeException, "A value has a type the expression cannot work with. Cast it."),
    (duckdb.ConstraintException, "A value does not fit the expression. Filter such values out first."),
    (duckdb.NotImplementedException, "A function was given a value it does not know. Filter such values out first."),
    (duckdb.BinderException, "A function was given a value it cannot work with. Filter such values out first."),
    (duckdb.PermissionException, "The worker may not do this: it reads the extract and nothing else."),
    (duckdb.IOException, "The worker may not do this: it reads the extract and nothing else."),
)
_KINDS: dict[str, type[Exception]] = {
    "Conversion Error": duckdb.ConversionException,
    "Invalid Input Error": duckdb.InvalidInputException,
    "Out of Range Error": duckdb.OutOfRangeException,
    "Out of Memory Error": duckdb.OutOfMemoryException,
    "Not implemented Error": duckdb.NotImplementedException,
    "Constraint Error": duckdb.ConstraintException,
    "Binder Error": duckdb.BinderException,
    "Permission Error": duckdb.PermissionException,
    "IO Error": duckdb.IOException,
    "INTERRUPT Error": duckdb.InterruptException,
    "FATAL Error": duckdb.FatalException,
    "INTERNAL Error": duckdb.InternalException,
}
"""How DuckDB begins its messages."""


def stream_error(error: Exception) -> Exception:
    """The kind of error DuckDB meant, from one that pyarrow raised while it read DuckDB's stream."""
    message = str(error)
    if isinstance(error, (duckdb.Error, MemoryError)):
        return error
    return _KINDS.get(message.split(":", 1)[0], duckdb.Error)(message)


def describe_engine_error(error: Exception, sql: str = "", at_binding: Callable[[], str | None] | None = None) -> str:
    """A sentence for the reader: kind of error, then what happened or what to do. Never a row value.

    ``sql``: what the person typed. ``at_binding``: the message that binding alone raises, None when it raises none.
    """
    kind = type(error).__name__.removesuffix("Exception")
    if str(error).startswith(_TOO_MUCH_TEXT):
        return "Rows of the result are too large: some thousand of them exceed 2 GiB of text. Select smaller columns."
    if isinstance(error, duckdb.ConversionException):
        return _conversion(str(error), sql)
    if isinstance(error, _PASSED):
        bound = at_binding() if at_binding is not None else None
        if bound is not None and _without_excerpt(bound) == _without_excerpt(str(error)):
            return _without_excerpt(bound)
    for known, sentence in _SENTENCES:
        if isinstance(error, known):
            return f"{kind} error: {sentence}"
    return f"{kind} error: the query could not be finished. Simplify it; if it stays, tell the administrator."


def binding_message(cursor: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """What binding the statement raises, without running it; it reads no row."""
    try:
        cursor._bind(sql)
    except duckdb.Error as error:
        return str(error)
    return None


def _conversion(message: str, sql: str) -> str:
    found = _CAST.search(message.rsplit("\n\nLINE ", 1)[0])
    target = f" to {found['type']}" if found else ""
    name = found["column"] if found else None
    column = f" from column {name}" if name and re.search(rf"\b{re.escape(name)}\b", sql, re.I) else ""
    return f"Conversion error: a value{column} cannot be converted{target}. Use TRY_CAST to get NULL instead."


def _without_excerpt(message: str) -> str:
    text = _ENUM.sub("ENUM", message.split("\n\nLINE ", 1)[0]).strip()
    return text if len(text) <= _MAXIMUM else text[:_MAXIMUM] + "…"


def is_out_of_memory(error: Exception) -> bool:
    """True when an allocation failed: DuckDB's own limit, or that of the process."""
    if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)):
        return True
    said = str(error).split("\n\nStack Trace", 1)[0].lower()
    return is_fatal(error) and ("allocat" in said or "bad_alloc" in said)


def is_fatal(error: Exception) -> bool:
    """True when the whole database instance is unusable afterwards, so that the worker has to be replaced."""
    return isinstance(error, (duckdb.FatalException, duckdb.InternalException))

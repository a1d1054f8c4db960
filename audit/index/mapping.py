"""One entry of the log as one row of the index. Pure (needs no DuckDB, no Arrow).

Distrustful: a field of the wrong type becomes None.

An entry that is no JSON object keeps its row with every field None; when it is no JSON at all, ``leaf`` holds its text
as a JSON string in which bytes that are no UTF-8 are escaped, so that ``leaf`` is always JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from audit.merkle import leaf_hash

COLUMNS: tuple[str, ...] = (
    "index",
    "at",
    "type",
    "actor",
    "subject",
    "project",
    "workspace",
    "request_id",
    "decision",
    "writer",
    "boot",
    "seq",
    "policies",
    "tables",
    "template",
    "verb",
    "dataset",
    "status",
    "rule",
    "rows",
    "bytes",
    "duration_ms",
    "columns",
    "persons",
    "min_cell",
    "has_payload",
    "leaf",
    "leaf_hash",
)
"""The columns of view ``records``, in order."""

_LEAF_TEXTS = ("type", "actor", "subject", "project", "workspace", "request_id", "decision", "writer", "boot")
_DATA_TEXTS = (("template", "template_sha256"), ("verb", "verb"), ("dataset", "dataset"), ("status", "status"))
_COUNTS = ("rows", "bytes", "duration_ms", "columns", "persons", "min_cell")
_NUMBERS = range(-(2**63), 2**63)
_NOTHING: Mapping[str, Any] = {}

INTENT = "query:intent"
OUTCOME = "query:outcome"


class Statement(NamedTuple):
    """What an intent says about its statement, and what the row of its outcome repeats."""

    template: str | None
    tables: list[str] | None
    verb: str | None
    dataset: str | None


def row_of(index: int, entry: bytes) -> dict[str, Any]:
    """The columns of one entry; see the module's docstring for odd ones. Never raises."""
    leaf, text = read_leaf(entry)
    data, counts = _mapping(leaf.get("data")), _mapping(leaf.get("counts"))
    row: dict[str, Any] = {"index": index, "at": moment(leaf.get("at"))}
    for name in _LEAF_TEXTS:
        value = leaf.get(name)
        row[name] = value if type(value) is str else None
    row["seq"] = number(leaf.get("seq"))
    row["policies"] = texts(leaf.get("policies"))
    row["tables"] = texts(data.get("tables"))
    for name, key in _DATA_TEXTS:
        value = data.get(key)
        row[name] = value if type(value) is str else None
    value = data.get("rule")
    row["rule"] = value if type(value) is str else None
    for name in _COUNTS:
        row[name] = number(counts.get(name))
    row["has_payload"] = type(leaf.get("payload")) is str
    row["leaf"] = text
    row["leaf_hash"] = leaf_hash(entry).hex()
    return row


def read_leaf(entry: bytes) -> tuple[Mapping[str, Any], str]:
    """The entry as an object (empty when it is none) and as JSON text."""
    try:
        leaf = orjson.loads(entry)
    except ValueError:
        return _NOTHING, json.dumps(entry.decode("utf-8", "backslashreplace"))
    return _mapping(leaf), entry.decode()


def moment(value: object) -> datetime | None:
    """A leaf's RFC 3339 time as naive UTC, as the index stores it; None when it is none."""
    if type(value) is not str:
        return None
    try:
        read = datetime.fromisoformat(value)
        return read.astimezone(UTC).replace(tzinfo=None) if read.tzinfo else None
    except (ValueError, OverflowError):
        return None


def number(value: object) -> int | None:
    """A whole number that fits 64 bits, else None (true and false are no numbers)."""
    return value if type(value) is int and value in _NUMBERS else None


def texts(value: object) -> list[str] | None:
    """A list of text, else None."""
    if type(value) is not list or not all(type(item) is str for item in value):
        return None
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOTHING


def join_statements(rows: Iterable[dict[str, Any]], opened: dict[str, Statement]) -> None:
    """Let each ``query:outcome`` repeat its intent's statement; ``opened`` (by request id) is brought up to date."""
    for row in rows:
        request_id = row["request_id"]
        if request_id is None:
            continue
        if row["type"] == INTENT:
            opened[request_id] = Statement(row["template"], row["tables"], row["verb"], row["dataset"])
        elif row["type"] == OUTCOME and (statement := opened.pop(request_id, None)) is not None:
            row.update(statement._asdict())

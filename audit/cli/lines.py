"""How records and counts look on a terminal, and as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from audit.index.bundles import first_available
from audit.index.mapping import Statement, join_statements, read_leaf, row_of, texts
from audit.index.wanted import Wanted, passes
from audit.reader import read_checkpoint, read_raw_entries

_DETAILS = ("project", "subject", "request_id", "decision", "dataset", "verb", "status", "rule", "rows")
_READ = ("columns_read", "filters", "tables_scanned")
"""What a query's outcome says about its reading."""


def read_rows(
    log_dir: Path, start: int = 0, end: int | None = None, opened: dict[str, Statement] | None = None
) -> Iterator[dict[str, Any]]:
    """Published records of a log as rows, oldest first, read from the log itself; what was pruned is left out.

    ``opened``: intents without outcome before ``start``; brought up to date. Raise :class:`LogUnreadable`.
    """
    _, checkpoint = read_checkpoint(log_dir)
    size = checkpoint.size if end is None else end
    opened = {} if opened is None else opened
    first = max(start, first_available(log_dir, checkpoint.size))
    for index, entry in enumerate(read_raw_entries(log_dir, first, size), first):
        row = row_of(index, entry)
        join_statements([row], opened)
        yield row


def select_rows(rows: Iterator[dict[str, Any]], wanted: Wanted) -> Iterator[dict[str, Any]]:
    """The rows that pass every filter."""
    return (row for row in rows if passes(row, wanted))


def json_line(index: int, leaf_hash: str, leaf_text: str) -> str:
    """One record as a JSON object; ``leaf`` is text when the entry is no JSON."""
    fields = {"index": index, "leaf_hash": leaf_hash, "leaf": json.loads(leaf_text)}
    return json.dumps(fields, ensure_ascii=False)


def text_line(row: Mapping[str, Any]) -> str:
    """One record as a line for people, in columns; control characters in a record cannot reach the terminal."""
    at = "" if row["at"] is None else row["at"].isoformat(timespec="milliseconds").replace("+00:00", "") + "Z"
    kind = "(no JSON record)" if row["type"] is None else row["type"]
    parts = [f"{row['index']:>8}", f"{at:<24}", f"{kind:<28}", f"{row['actor'] or '-':<20}"]
    parts += [f"{name}={row[name]}" for name in _DETAILS if row[name] is not None]
    if row["tables"]:
        parts.append(f"tables={','.join(row['tables'])}")
    data = read_leaf(row["leaf"].encode())[0].get("data")
    if isinstance(data, dict):
        parts += [f"{name}={','.join(names)}" for name in _READ if (names := texts(data.get(name)))]
    return printable("  ".join(parts).rstrip())


def table_lines(header: tuple[str, str], counted: Sequence[tuple[str, int]]) -> list[str]:
    """Values and counts in two aligned columns."""
    rows = [header, *((printable(value), f"{count:,}") for value, count in counted)]
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{value:<{wide[0]}}  {count:>{wide[1]}}" for value, count in rows]


def printable(text: str) -> str:
    """The text without characters that steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)

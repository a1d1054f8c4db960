"""The rows of the index as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from audit.index.wanted import joined_names

TEXT = pa.string()
NUMBER = pa.int64()
TEXTS = pa.list_(pa.string())

SCHEMA = pa.schema(
    [
        ("index", NUMBER),
        ("at", pa.timestamp("us")),
        ("type", TEXT),
        ("actor", TEXT),
        ("subject", TEXT),
        ("project", TEXT),
        ("workspace", TEXT),
        ("request_id", TEXT),
        ("decision", TEXT),
        ("writer", TEXT),
        ("boot", TEXT),
        ("seq", NUMBER),
        ("policies", TEXTS),
        ("tables", TEXTS),
        ("template", TEXT),
        ("verb", TEXT),
        ("dataset", TEXT),
        ("status", TEXT),
        ("rule", TEXT),
        ("rows", NUMBER),
        ("bytes", NUMBER),
        ("duration_ms", NUMBER),
        ("columns", NUMBER),
        ("persons", NUMBER),
        ("min_cell", NUMBER),
        ("has_payload", pa.bool_()),
        ("leaf", TEXT),
        ("leaf_hash", TEXT),
    ]
)
"""Names and order are those of :data:`audit.index.mapping.COLUMNS`."""


RARE = "rare"
TABLE_NAMES = "table_names"
SEARCHED = SCHEMA.append(pa.field(RARE, TEXT)).append(pa.field(TABLE_NAMES, TEXT))
"""What a part's file holds: the columns of view ``records``, and two that only serve to find records fast."""


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as an Arrow table of :data:`SCHEMA`."""
    arrays = [pa.array([row[field.name] for row in rows], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def searched_table(table: pa.Table, rare: Sequence[str]) -> pa.Table:
    """The table with the columns that serve to find records."""
    names = [None if tables is None else joined_names(tables) for tables in table.column("tables").to_pylist()]
    return pa.Table.from_arrays([*table.columns, pa.array(rare, TEXT), pa.array(names, TEXT)], schema=SEARCHED)

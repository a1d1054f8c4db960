"""A record as the index answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Row:
    """The columns of view ``records``, None where the leaf has nothing usable; ``at`` is aware (UTC)."""

    index: int
    at: datetime | None
    type: str | None
    actor: str | None
    subject: str | None
    project: str | None
    workspace: str | None
    request_id: str | None
    decision: str | None
    writer: str | None
    boot: str | None
    seq: int | None
    policies: tuple[str, ...]
    tables: tuple[str, ...]
    template: str | None
    verb: str | None
    dataset: str | None
    status: str | None
    rule: str | None
    rows: int | None
    bytes: int | None
    duration_ms: int | None
    columns: int | None
    persons: int | None
    min_cell: int | None
    has_payload: bool
    leaf_text: str
    leaf_hash: str

    @cached_property
    def leaf(self) -> Mapping[str, Any]:
        """The leaf as an object; empty when the entry is none."""
        read = json.loads(self.leaf_text)
        return read if isinstance(read, dict) else {}


def row_from(named: Mapping[str, Any]) -> Row:
    """A row from the columns of :data:`audit.index.mapping.COLUMNS`."""
    at = named["at"]
    return Row(
        **{
            **{name: value for name, value in named.items() if name != "leaf"},
            "at": None if at is None else at.replace(tzinfo=UTC),
            "policies": tuple(named["policies"] or ()),
            "tables": tuple(named["tables"] or ()),
            "leaf_text": named["leaf"],
        }
    )

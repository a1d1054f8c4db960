"""How many people stand behind a result, as far as the front can see; the differencing and small-count alerts read it.

Two things are recognised without running anything: output columns that are a plain ``count`` (their least value is the
smallest cell shown; a ``count(DISTINCT person)`` is a population), and the pseudonym column itself in the result
(its distinct values are the people). Everything else gives "unknown", never a guess. Non-goal: protecting anything;
disclosure control is the egress review's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from enclave.domain.manifest import Manifest

MOST_PEOPLE = 100_000
"""Beyond this many distinct people in one result the exact number says nothing more, and is not kept in memory."""
_LARGEST = (1 << 53) - 1
"""Of what a record can hold. The worker is not trusted: a number that is no count must not keep the outcome out."""


@dataclass(frozen=True)
class CountColumn:
    """Output column ``position`` holds counts; ``of_people``: distinct persons."""

    position: int
    of_people: bool


def verb_of(statement: dict[str, Any]) -> str:
    """``select``, ``describe``, ``summarize`` or ``show``, from the parser's tree."""
    source = statement.get("node", {}).get("from_table")
    if not isinstance(source, dict) or source.get("type") != "SHOW_REF":
        return "select"
    return {"DESCRIBE": "describe", "SUMMARY": "summarize"}.get(str(source.get("show_type")), "show")


def person_columns(manifest: Manifest) -> frozenset[str]:
    """Names (lower case) under which the extract's tables carry the person's pseudonym."""
    return frozenset(table.person.lower() for table in manifest.tables if table.person)


def count_columns(statement: dict[str, Any], people: frozenset[str]) -> tuple[CountColumn, ...]:
    """Output columns of the outermost SELECT that are plain counts; none when a star hides their positions."""
    node = statement.get("node", {})
    entries = node.get("select_list")
    if node.get("type") != "SELECT_NODE" or not isinstance(entries, list):
        return ()
    if any(entry.get("class") == "STAR" for entry in entries):
        return ()
    return tuple(
        CountColumn(position, _of_people(entry, people))
        for position, entry in enumerate(entries)
        if entry.get("class") == "FUNCTION" and entry.get("function_name") in ("count", "count_star")
    )


def _of_people(entry: dict[str, Any], people: frozenset[str]) -> bool:
    arguments = entry.get("arguments") or []
    if not entry.get("distinct") or len(arguments) != 1:
        return False
    names = arguments[0].get("expression", {}).get("column_names") or []
    return bool(names) and str(names[-1]).lower() in people


class PopulationMeter:
    """Feed every batch of one result; ``min_cell`` and ``persons`` stay None where the result does not tell."""

    def __init__(self, counts: tuple[CountColumn, ...], people: frozenset[str]) -> None:
        self._counts = counts
        self._people_names = people
        self._seen: set[Any] = set()
        self._by_count = 0
        self._saw_column = False
        self.min_cell: int | None = None

    @property
    def persons(self) -> int | None:
        """Distinct people: of the pseudonym column if it is shown, else the sum of the distinct counts."""
        if self._saw_column:
            return len(self._seen)
        return self._by_count if any(column.of_people for column in self._counts) else None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take one batch."""
        for column in self._counts:
            if column.position < batch.num_columns and pa.types.is_integer(batch.schema.field(column.position).type):
                self._add_counts(column, batch.column(column.position))
        for name in self._shown_people(batch.schema):
            self._saw_column = True
            if len(self._seen) < MOST_PEOPLE:
                column = batch.column(name)
                column.validate(full=True)  # the worker wrote it; to read on wrong offsets would be to read our memory
                self._seen.update(pc.unique(column).to_pylist())

    def _add_counts(self, column: CountColumn, values: pa.Array) -> None:
        least = pc.min(values).as_py()
        if least is None or not 0 <= least <= _LARGEST:
            return
        self.min_cell = least if self.min_cell is None else min(self.min_cell, least)
        if column.of_people:
            self._by_count = min(_LARGEST, self._by_count + max(0, pc.sum(values).as_py()))

    def _shown_people(self, schema: pa.Schema) -> Iterator[int]:
        return (position for position, name in enumerate(schema.names) if name.lower() in self._people_names)

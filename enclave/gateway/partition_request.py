"""What a client asks for with the action ``enclave.partitions``, read from JSON into frozen values, and the SQL of it.

    {"table": "visit", "columns": ["sex"], "filter": "year > 2020", "parts": 8,
     "partial": {"by": ["sex"], "values": {"n": ["count", "*"]}}, "tickets": [3], "request": "p-…"}

Only ``table`` is needed. ``filter`` is a condition as after WHERE. ``tickets``: the parts for which tickets are wanted
(from 1; all when absent). ``request``: an earlier answer's, to ask again for parts of the same table cut the same way.
``partial``: each part gives groups instead of rows; ``mean`` gives two columns, ``name__sum`` and ``name__count``.
Non-goal: whether it is allowed (``partitions``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from enclave.domain.manifest import ManifestTable
from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.row_ranges import MAXIMUM_PARTS, quoted, scan_statement

RULE = "partitions"
_FIELDS = frozenset({"table", "columns", "filter", "parts", "partial", "tickets", "request"})
_FUNCTIONS = ("sum", "count", "min", "max", "mean")
_MAXIMUM_BODY = 200_000


@dataclass(frozen=True)
class PartialGroups:
    """Groups by columns; each value is (name in the result, function, column or ``*``)."""

    by: tuple[str, ...]
    values: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class PartitionRequest:
    """One request; columns as the client spells them."""

    table: str
    columns: tuple[str, ...] | None = None
    condition: str | None = None
    parts: int | None = None
    partial: PartialGroups | None = None
    tickets: tuple[int, ...] | None = None
    request: str | None = None

    def scan(self, table: ManifestTable) -> str:
        """The plain scan behind the request. Raises StatementRefusedError for a column the table does not have."""
        columns = self.columns
        if self.partial is not None:
            named = [*self.partial.by, *(column for _, _, column in self.partial.values if column != "*")]
            columns = tuple(dict.fromkeys(named))
        if not columns:  # counting needs none
            return scan_statement(table.name, None, self.condition)
        return scan_statement(table.name, [_column(table, name) for name in columns], self.condition)

    def statement(self, table: ManifestTable) -> str:
        """What each part runs. Raises StatementRefusedError."""
        if self.partial is None:
            return self.scan(table)
        by = [quoted(_column(table, name)) for name in self.partial.by]
        values = [sql for value in self.partial.values for sql in _aggregates(table, *value)]
        where = f" WHERE ({self.condition}\n)" if self.condition else ""
        groups = f" GROUP BY {', '.join(by)}" if by else ""
        return f"SELECT {', '.join([*by, *values])} FROM {quoted(table.name)}{where}{groups}"  # noqa: S608 - examined by the gate


def _column(table: ManifestTable, name: str) -> str:
    found = {column.name.lower(): column.name for column in table.columns}.get(name.lower())
    if found is None:
        raise StatementRefusedError(
            RULE, f"Expected columns of table {table.name}, found another. enclave_client.tables() lists them."
        )
    return found


def _aggregates(table: ManifestTable, name: str, function: str, column: str) -> list[str]:
    if column == "*":
        return [f"count(*) AS {quoted(name)}"]
    operand = quoted(_column(table, column))
    if function == "mean":
        return [f"sum({operand}) AS {quoted(f'{name}__sum')}", f"count({operand}) AS {quoted(f'{name}__count')}"]
    return [f"{function}({operand}) AS {quoted(name)}"]


def parse_request(body: bytes) -> PartitionRequest:
    """Raises StatementRefusedError with the rule "partitions"."""
    if len(body) > _MAXIMUM_BODY:
        _refuse(f"at most {_MAXIMUM_BODY} bytes")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        _refuse("a JSON object")
    if not isinstance(content, dict) or not content.keys() <= _FIELDS:
        _refuse(f"a JSON object with the fields {', '.join(sorted(_FIELDS))}")
    content = {key: value for key, value in content.items() if value is not None}
    if not isinstance(content.get("table"), str):
        _refuse("the name of a table")
    columns, tickets, partial = content.get("columns"), content.get("tickets"), content.get("partial")
    if columns is not None and (not _is_texts(columns) or not columns):
        _refuse("a list of column names in columns")
    if tickets is not None and not (isinstance(tickets, list) and all(_is_part(part) for part in tickets)):
        _refuse(f"a list of numbers from 1 to {MAXIMUM_PARTS} in tickets")
    if "parts" in content and not _is_part(content["parts"]):
        _refuse(f"a number from 1 to {MAXIMUM_PARTS} in parts")
    if not isinstance(content.get("filter", ""), str) or not isinstance(content.get("request", ""), str):
        _refuse("text in filter and request")
    return PartitionRequest(
        table=content["table"],
        columns=tuple(columns) if columns is not None else None,
        condition=content.get("filter") or None,
        parts=content.get("parts"),
        partial=_parse_partial(partial) if partial is not None else None,
        tickets=tuple(dict.fromkeys(tickets)) if tickets is not None else None,
        request=content.get("request"),
    )


def _parse_partial(content: Any) -> PartialGroups:
    wanted = 'partial as {"by": [columns], "values": {name: [function, column]}}'
    if not isinstance(content, dict) or content.keys() != {"by", "values"} or not _is_texts(content["by"]):
        _refuse(wanted)
    values = content["values"]
    if not isinstance(values, dict) or not values or not all(_is_texts(v) and len(v) == 2 for v in values.values()):
        _refuse(wanted)
    for function, column in values.values():
        if function not in _FUNCTIONS or (column == "*" and function != "count"):
            _refuse(f"one of the functions {', '.join(_FUNCTIONS)} of a column, or count of *")
    names = [name.lower() for name in (*content["by"], *_shown(values))]
    if len(set(names)) != len(names):
        _refuse("names in by and values that differ from each other")
    return PartialGroups(tuple(content["by"]), tuple((name, *value) for name, value in values.items()))


def _shown(values: Mapping[str, list[str]]) -> list[str]:
    """Columns a part gives for the values."""
    doubled = [[f"{name}__sum", f"{name}__count"] if value[0] == "mean" else [name] for name, value in values.items()]
    return [name for names in doubled for name in names]


def _is_texts(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(item, str) for item in content)


def _is_part(content: Any) -> bool:
    return type(content) is int and 1 <= content <= MAXIMUM_PARTS


def _refuse(expected: str) -> NoReturn:
    raise StatementRefusedError(
        RULE, f"Expected {expected} in the request for partitions, found something else. Use enclave_client.dask."
    )

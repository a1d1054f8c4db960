"""The row filter of a data permit: one SQL condition over one table's columns, and nothing that could read elsewhere.

DuckDB's own parser gives the syntax tree; every node must be of a kind in ``_CLASSES`` and every function in
``FUNCTIONS`` (an allow-list, so that a function a later DuckDB adds is refused until somebody reads about it).
The text must stand both in ``( … )`` and in ``[ … ]``: what passes in both is balanced, so it cannot close our bracket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb

_OPERATORS = """
    + - * / // % ~~ !~~ ~~* !~~* ~~~ || ^@ like_escape ilike_escape not_like_escape not_ilike_escape
"""
_NAMED = """
    abs ceil ceiling floor round sign trunc mod greatest least
    lower upper lcase ucase trim ltrim rtrim length len left right substr substring concat replace
    contains starts_with ends_with prefix suffix regexp_matches regexp_full_match strip_accents
    year month day quarter dayofyear dayofweek isodow week hour minute second date_part datepart date_trunc datetrunc
    date_diff datediff date_sub datesub date_add age make_date last_day to_days to_months to_years
    list_contains list_value nullif ifnull isnan isfinite
"""
FUNCTIONS = frozenset((_OPERATORS + _NAMED).split())
_CLASSES = frozenset(
    {"COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "BETWEEN", "CAST", "OPERATOR", "FUNCTION", "CASE", "TYPE"}
)
_WORDS = {
    "SUBQUERY": "a query inside the condition",
    "STAR": "a star",
    "WINDOW": "a window function",
    "LAMBDA": "a lambda",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by position",
}


@dataclass(frozen=True)
class RowFilter:
    """A checked condition. ``columns`` are the names it reads, in lower case."""

    text: str
    columns: frozenset[str]
    tree: dict[str, Any] = field(compare=False, repr=False)
    """DuckDB's syntax tree of the condition."""


@dataclass(frozen=True)
class RowFilterProblem:
    """Why a condition is refused, as a sentence without any of its literals."""

    message: str


def parse_row_filter(text: str) -> RowFilter | RowFilterProblem:
    """Check the condition; nothing is run and no table is looked at."""
    trees = [_parse(text, *brackets) for brackets in ("()", "[]")]
    for tree in trees:
        if isinstance(tree, RowFilterProblem):
            return tree
    condition = _single_condition(trees[0])
    if condition is None or _single_condition(trees[1]) is None:
        return RowFilterProblem(
            "expected one SQL condition, found more than a condition; write only what would follow WHERE, "
            "with AND and OR, without semicolon, ORDER BY or UNION."
        )
    columns: set[str] = set()
    for node in _nodes(condition):
        problem = _problem_of(node)
        if problem is not None:
            return RowFilterProblem(problem)
        if node["class"] == "COLUMN_REF":
            columns.add(node["column_names"][-1].lower())
    if not columns:
        return RowFilterProblem(
            "expected a condition over the table's columns, found none named; name one or remove rows."
        )
    return RowFilter(text, frozenset(columns), condition)


def depends_on_the_day(condition: RowFilter) -> bool:
    """Does it choose other rows tomorrow? ``age`` with one argument counts from today; nothing else we allow does."""
    return any(node["class"] == "FUNCTION" and node["function_name"] == "age" for node in _nodes(condition.tree))


def _parse(text: str, left: str, right: str) -> Any:
    if ";" in text or "\x00" in text:
        return RowFilterProblem("expected one SQL condition, found a semicolon; write only what would follow WHERE.")
    query = f"SELECT 1 FROM t WHERE {left}\n{text}\n{right}"  # noqa: S608  parsed, never run
    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as connection:
        row = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree["error"]:
        # Not DuckDB's own message: it can quote a literal.
        place = int(tree.get("position") or 0) - len("SELECT 1 FROM t WHERE (\n")
        where = f" near character {max(place, 0) + 1}" if "position" in tree else ""
        return RowFilterProblem(
            f"expected one SQL condition as DuckDB reads it, found a syntax error{where}; "
            "try the condition after WHERE in a query of your own."
        )
    return tree


def _single_condition(tree: Any) -> dict[str, Any] | None:
    if len(tree["statements"]) != 1:
        return None
    node = tree["statements"][0]["node"]
    if node.get("type") != "SELECT_NODE" or node.get("modifiers") or node["cte_map"]["map"]:
        return None
    rest = [node.get(key) for key in ("group_expressions", "group_sets", "having", "sample", "qualify")]
    if any(rest) or node["from_table"].get("type") != "BASE_TABLE" or len(node["select_list"]) != 1:
        return None
    condition = node.get("where_clause")
    return condition if isinstance(condition, dict) else None


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every syntax node below and including ``value``."""
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)


def _problem_of(node: dict[str, Any]) -> str | None:
    kind = str(node["class"])
    if kind not in _CLASSES:
        found = _WORDS.get(kind, f"an expression of the kind {kind.lower()}")
        return f"expected a condition over this table's own columns, found {found}; rewrite it with plain comparisons."
    if kind == "COLUMN_REF" and len(node["column_names"]) != 1:
        return "expected plain column names, found a name with a dot; leave the table's name away."
    if kind == "FUNCTION" and (node["function_name"] not in FUNCTIONS or node["schema"] or node["catalog"]):
        name = str(node["function_name"])[:40]
        return (
            f'expected only functions that compute on a row\'s own values, found "{name}"; '
            "the list is in examples/permits/README.md."
        )
    return None

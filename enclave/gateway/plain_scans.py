"""Is a statement a plain scan: ``SELECT columns FROM table [WHERE condition]``, whose rows may be fetched in parts?

Decided on the tree of DuckDB's own parser, by an allow-list: one table of the extract under its plain name, expressions
that look at one row alone, nothing that looks at more (aggregate, window, DISTINCT, ORDER BY, LIMIT, join, subquery,
sample, parameters). Whatever is not listed makes the statement one that runs as a whole (fail closed). A condition may
call any function the gate lets through, because DuckDB refuses aggregates there; a selected column only those below.

Non-goal: whether the statement is allowed at all (``gate``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CLASSES = frozenset(
    {
        *("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION"),
        *("LAMBDA", "LAMBDA_REF", "OPERATOR", "STAR", "TYPE"),
    }
)
PER_ROW_FUNCTIONS = frozenset(
    {
        *("abs", "ceil", "floor", "round", "trunc", "sqrt", "ln", "log10", "exp", "power", "sign", "greatest", "least"),
        *("lower", "upper", "trim", "ltrim", "rtrim", "length", "substr", "substring", "left", "right", "replace"),
        *("concat", "contains", "starts_with", "ends_with", "regexp_matches", "regexp_extract", "strftime", "md5"),
        *("year", "month", "day", "hour", "minute", "date_part", "date_trunc", "date_diff", "isnan", "isfinite"),
        *("coalesce", "ifnull", "nullif", "hash"),
    }
)
"""Functions a selected column may call besides operators; each gives one value for one row."""
_EMPTY = ("modifiers", "group_expressions", "group_sets", "having", "sample", "qualify")
_ROW_NUMBER = "rowid"


def find_scanned_table(statement: dict[str, Any], known: Mapping[str, str]) -> str | None:
    """The one table a plain scan reads, as the manifest spells it; None when the statement is anything else.

    ``statement``: one statement of the parser's JSON. ``known``: the extract's tables by their name in small letters.
    """
    node = statement.get("node", {})
    if node.get("type") != "SELECT_NODE" or statement.get("named_param_map"):
        return None
    if any(node.get(key) for key in _EMPTY) or node.get("cte_map", {}).get("map"):
        return None
    if node.get("aggregate_handling") != "STANDARD_HANDLING":
        return None
    if not _is_per_row(node.get("select_list"), in_condition=False):
        return None
    if not _is_per_row(node.get("where_clause"), in_condition=True):
        return None
    return _table(node.get("from_table"), known)


def _table(source: Any, known: Mapping[str, str]) -> str | None:
    """A qualified name does not count: the ranged statement puts its rows in the place of the plain name."""
    if not isinstance(source, dict) or source.get("type") != "BASE_TABLE":
        return None
    if source.get("sample") is not None or source.get("at_clause") is not None:
        return None
    path = source.get("qualified_name", {}).get("path")
    if not isinstance(path, list) or len(path) != 1:
        return None
    return known.get(str(path[0]).lower())


def _is_per_row(item: Any, *, in_condition: bool) -> bool:
    if isinstance(item, list):
        return all(_is_per_row(part, in_condition=in_condition) for part in item)
    if not isinstance(item, dict):
        return True
    if "class" in item and not _is_per_row_expression(item, in_condition=in_condition):
        return False
    return all(_is_per_row(value, in_condition=in_condition) for key, value in item.items() if key != "literal")


def _is_per_row_expression(item: dict[str, Any], *, in_condition: bool) -> bool:
    kind = item["class"]
    if kind == "FUNCTION":
        plain = not item.get("distinct") and item.get("filter") is None
        return plain and (in_condition or _is_per_row_function(item))
    if kind == "COLUMN_REF":  # the rows put in the table's place have no number of their own, and are in no schema
        names = [str(name).lower() for name in item.get("column_names", [])]
        return len(names) <= 2 and _ROW_NUMBER not in names
    if kind == "STAR":
        return not item.get("columns")
    return kind in _CLASSES


def _is_per_row_function(item: dict[str, Any]) -> bool:
    path = item.get("qualified_name", {}).get("path")
    if not isinstance(path, list) or len(path) != 1:
        return False
    return bool(item.get("is_operator")) or str(path[0]).lower() in PER_ROW_FUNCTIONS

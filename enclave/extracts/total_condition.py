"""Can a checked condition fail on a row? Only what certainly cannot is called total.

Why it matters: whoever may not see a row could otherwise learn of it by whether the rule's own condition fails there
(a filter of theirs decides which rows it is computed for). A condition that is not total is put into ``TRY``, which
turns a failure into NULL and so hides the row; that costs speed, hence the plain cases are recognised here.

Total: comparisons, BETWEEN and IN of a column, or of its TRY_CAST, with constants of its own kind; LIKE and the like on
text; IS NULL; AND, OR and NOT of these. Everything else (arithmetic, casts, two columns of different kinds) is taken
for one that can fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from enclave.extracts.row_filter import RowFilter

_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})
_KIND_OF_TYPE = {**dict.fromkeys(_WHOLE, "whole"), "VARCHAR": "text", "DATE": "date", "BOOLEAN": "truth"}
_TEXT_FUNCTIONS = frozenset("~~ !~~ ~~* !~~* ^@ contains starts_with ends_with prefix suffix".split())
_NULL_TESTS = frozenset({"OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"})
_IN = frozenset({"COMPARE_IN", "COMPARE_NOT_IN"})
_LARGEST = (1 << 63) - 1


def is_total(condition: RowFilter, types: Mapping[str, str]) -> bool:
    """True when no row can make the condition fail. ``types``: DuckDB type by column name in lower case."""
    return _is_truth(condition.tree, types)


def _is_truth(node: dict[str, Any], types: Mapping[str, str]) -> bool:
    match node["class"]:
        case "CONJUNCTION":
            return all(_is_truth(child, types) for child in node["children"])
        case "COMPARISON":
            return _are_alike([node["left"], node["right"]], types)
        case "BETWEEN":
            return _are_alike([node["input"], node["lower"], node["upper"]], types)
        case "OPERATOR" if node["type"] in _IN:
            return _are_alike(node["children"], types)
        case "OPERATOR" if node["type"] in _NULL_TESTS:
            return all(child["class"] == "COLUMN_REF" for child in node["children"])
        case "OPERATOR" if node["type"] == "OPERATOR_NOT":
            return all(_is_truth(child, types) for child in node["children"])
        case "FUNCTION" if node["function_name"] in _TEXT_FUNCTIONS:
            return all(_kind(argument["expression"], types) == "text" for argument in node["arguments"])
        case "COLUMN_REF":
            return _kind(node, types) == "truth"
    return False


def _are_alike(nodes: list[dict[str, Any]], types: Mapping[str, str]) -> bool:
    kinds = {_kind(node, types) for node in nodes}
    if None in kinds:
        return False
    is_day = "date" in kinds and any(node["class"] == "COLUMN_REF" for node in nodes)
    columns = {_kind(node, types) for node in nodes if node["class"] == "COLUMN_REF"}
    # text constants beside a column of dates become dates once, before any row is read; a column of text would not
    return len(kinds) == 1 or (is_day and columns == {"date"} and kinds == {"date", "text"})


def _kind(node: dict[str, Any], types: Mapping[str, str]) -> str | None:
    if node["class"] == "COLUMN_REF":
        found = types.get(node["column_names"][-1].lower(), "").upper()
        return "text" if found.startswith("ENUM") else _KIND_OF_TYPE.get(found)
    if node["class"] == "CAST":
        return _kind_of_cast(node)
    if node["class"] != "CONSTANT":
        return None
    literal = node.get("literal") or {}
    if literal.get("kind") == "INTEGER" and abs(int(literal["text"])) <= _LARGEST:
        return "whole"
    return "text" if literal.get("kind") == "STRING" else None


def _kind_of_cast(node: dict[str, Any]) -> str | None:
    """``DATE '2020-01-31'``, computed once, and TRY_CAST of a column, which gives NULL where it fails."""
    child, kind = node["child"]["class"], str(node.get("type_expr", {}).get("type_name", "")).upper()
    if child == "COLUMN_REF" and node.get("try_cast"):
        return _KIND_OF_TYPE.get(kind)
    return "date" if child == "CONSTANT" and kind == "DATE" else None

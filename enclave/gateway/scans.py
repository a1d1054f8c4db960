"""What a query read, from DuckDB's own profile: tables, columns, filters pushed into the scan, rows looked at.

Worker side (``scans_of``): the profile is JSON whose texts hold literals; out of them come only column names of the
manifest and operators of a fixed list. Front side (``Reading``): the worker is not trusted, so whatever is not a table
and column of the manifest, a known operator or a count is left out, and lists are capped.

A table behind a secure view (``ruled_views``) appears with the statement's own filters and the rows the view gave:
DuckDB tells no columns of it.

Scratch tables appear as ``scratch.name`` with their rows and without columns: a person chooses those names, and PIVOT
makes them of values. What went into such a table is in the record of the statement that made it.

Non-goals: statements that ended before their first row, and answers DuckDB gives from a table's statistics alone
(``count(*)``, ``min``, ``max`` of a whole table): nothing is scanned, so nothing is said; the intent has the tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

PROFILING = (
    "SET enable_profiling = 'no_output'; "
    "SET tracked_metrics = ['operator.rows_scanned', 'operator.extra_info', 'operator.type']"
)
"""For each cursor; both settings stay changeable when the rest is locked (``allowed_configs``)."""
PROFILING_VIEWS = f"{PROFILING[:-1]}, 'operator.intermediate_rows', 'operator.timing']"
"""Where a permit's rules hide tables behind secure views."""
SETTINGS = ("enable_profiling", "tracked_metrics")
MOST_COLUMNS, MOST_FILTERS, MOST_TABLES = 400, 200, 100
MOST_CHARACTERS = 16_000
"""Of each list, so that a record stays far under the log's 65,535 bytes."""
_OPERATORS = {
    **{name: name for name in ("=", "!=", "<>", "<", "<=", ">", ">=", "IN", "NOT IN", "IS NULL", "IS NOT NULL")},
    "~~": "LIKE",
    "!~~": "NOT LIKE",
    "~~*": "ILIKE",
    "!~~*": "NOT ILIKE",
    "~~~": "GLOB",
    "BETWEEN": "BETWEEN",
    **{name: name for name in ("contains", "prefix", "suffix", "starts_with", "ends_with", "list_contains")},
    **{name: name for name in ("regexp_matches", "regexp_full_match", "lower", "upper", "CAST")},
    **{f"IS {word}DISTINCT FROM": f"IS {word}DISTINCT FROM" for word in ("", "NOT ")},
}
OPERATORS = frozenset(_OPERATORS.values())
_TOKEN = re.compile(
    r"'(?:[^']|'')*'?| (?:AND|OR) |(?P<operator>!?~~\*|!?~~|~~~|[<>!]=|<>|[=<>]|"
    r"\b(?:IS NOT DISTINCT FROM|IS DISTINCT FROM|IS NOT NULL|IS NULL|NOT IN|IN|BETWEEN)\b|\b[A-Za-z_]+(?=\())"
)
_LONGEST_ESCAPE = 12
"""Characters of JSON for one of a name, at most: two escapes of four digits."""
_PART = re.compile(r'"((?:[^"]|"")*)"|([^."]+)')
_SECURE_VIEW = "SECURE_VIEW"
_SPACES = frozenset({"scratch", "memory"})


@dataclass(frozen=True)
class Scan:
    """One table as it was read. ``filters``: (column, operator)."""

    table: str
    columns: frozenset[str] = frozenset()
    filters: frozenset[tuple[str, str]] = frozenset()
    rows: int = 0


def scans_of(profile: str, tables: Mapping[str, Iterable[str]]) -> list[Scan] | None:
    """The scans of a finished or running query; ``tables``: columns by table of the extract. Never raises.

    None when DuckDB kept no profile.
    """
    try:
        content = orjson.loads(profile)
        if "operator" not in content:
            return None
        waiting = [(node, None) for node in content["operator"]]
        found = []
        while waiting:
            node, expression = waiting.pop()
            info = node.get("extra_info") or {}
            if "Table" in info:
                found.append(_scan(node, info, expression, tables))
            elif node.get("type") == _SECURE_VIEW:
                found.append(_scan_of_view(node, info, tables))
            above = info.get("Expression") if node.get("type") == "FILTER" else None
            waiting += [(child, above) for child in node.get("children", ())]
        return found
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _scan(node: dict[str, Any], info: dict[str, Any], above: Any, tables: Mapping[str, Iterable[str]]) -> Scan:
    path = [quoted.replace('""', '"') or plain for quoted, plain in _PART.findall(str(info["Table"]))]
    rows = int(node.get("rows_scanned", 0))
    if path[0] in _SPACES:
        return Scan(f"scratch.{path[-1]}", rows=rows)
    names = tuple(tables.get(path[-1], ()))
    shown = {name for text in _texts(info.get("Projections")) if (name := _named(text, names))}
    filters = {pair for text in _texts(info.get("Filters")) for pair in _pairs(text, names)}
    # a filter beside the scan: its texts are aliases, which mean the table's column only where the scan gives it
    filters |= {pair for text in _texts(above) for pair in _pairs(text, tuple(sorted(shown)))}
    return Scan(path[-1], frozenset(shown | {column for column, _ in filters}), frozenset(filters), rows)


def _scan_of_view(node: dict[str, Any], info: dict[str, Any], tables: Mapping[str, Iterable[str]]) -> Scan:
    name = str(info.get("View", ""))
    columns = tuple(tables.get(name, ()))
    filters = {pair for text in _texts(info.get("Filters")) for pair in _pairs(text, columns)}
    return Scan(name, frozenset(column for column, _ in filters), frozenset(filters), int(node["intermediate_rows"]))


def view_times(profile: str) -> dict[str, float]:
    """For each secure view a finished query read: the seconds DuckDB worked for that query in all. Never raises."""
    try:
        waiting = list(orjson.loads(profile).get("operator", ()))
        names, seconds = set(), 0.0
        while waiting:
            node = waiting.pop()
            seconds += float(node.get("timing", 0))
            if node.get("type") == _SECURE_VIEW:
                names.add(str(node["extra_info"]["View"]))
            waiting += node.get("children", ())
        return dict.fromkeys(names, seconds)
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(text) for text in value or ()]


def _named(text: str, names: Iterable[str]) -> str | None:
    """The column, or the one a field of a STRUCT belongs to."""
    fitting = [name for name in names if text == name or text.startswith(f"{name}.")]
    return max(fitting, key=len, default=None)


def _pairs(text: str, names: tuple[str, ...]) -> set[tuple[str, str]]:
    """Each column with each operator beside it, between two AND or OR. DuckDB does not quote the names."""
    if not names:
        return set()
    found: set[tuple[str, str]] = set()
    columns: set[str] = set()
    operators: set[str] = set()
    for match in _words(names).finditer(text):
        if match["name"]:
            columns.add(match["name"])
        elif match["operator"]:
            operators |= {_OPERATORS[match["operator"]]} if match["operator"] in _OPERATORS else set()
        elif not match[0].startswith("'"):
            found |= {(column, operator) for column in columns for operator in operators}
            columns, operators = set(), set()
    return found | {(column, operator) for column in columns for operator in operators}


@lru_cache(maxsize=256)
def _words(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds these names and the tokens between them; longer names first."""
    name = "|".join(re.escape(found) for found in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?P<name>{name})(?!\w)|{_TOKEN.pattern}")


def scans_to_json(scans: Iterable[Scan]) -> list[list[Any]]:
    """For the frame between worker and front."""
    return [[s.table, sorted(s.columns), sorted(map(list, s.filters)), s.rows] for s in scans]


@dataclass(frozen=True)
class Reading:
    """What a record says about reading; every list sorted. ``all_columns``: how many there are, listed or not."""

    columns: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    scanned: tuple[str, ...] = ()
    rows: int = 0
    all_columns: int = 0


def checked_reading(sent: Any, tables: Mapping[str, frozenset[str]], scratch: frozenset[str]) -> Reading | None:
    """From what a worker sent; ``tables``: columns by table of the manifest, ``scratch``: names the statement uses.

    None when nothing was sent. Anything that does not belong is left out.
    """
    if not isinstance(sent, list):
        return None
    columns: set[str] = set()
    filters: set[str] = set()
    rows: dict[str, int] = {}
    for item in sent[: 10 * MOST_TABLES]:
        if not (isinstance(item, list) and len(item) == 4 and isinstance(item[0], str) and _is_count(item[3])):
            continue
        table, known = item[0], tables.get(item[0], frozenset())
        if table not in tables and table.lower() not in scratch:
            continue
        columns |= {f"{table}.{name}" for name in _list(item[1]) if isinstance(name, str) and name in known}
        filters |= {f"{table}.{pair[0]} {pair[1]}" for pair in _list(item[2]) if _is_filter(pair, known)}
        rows[table] = min(rows.get(table, 0) + item[3], 1 << 53)
    return Reading(
        capped(columns, MOST_COLUMNS),
        capped(filters, MOST_FILTERS),
        capped((f"{table} {count}" for table, count in rows.items()), MOST_TABLES),
        min(sum(rows.values()), (1 << 53) - 1),
        len(columns),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _is_filter(pair: Any, known: frozenset[str]) -> bool:
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
        return False
    return pair[0] in known and pair[1] in OPERATORS


def capped(names: Iterable[str], most: int | None = None) -> tuple[str, ...]:
    """The first of them in order: as many as ``most``, and as a leaf has room for."""
    first = sorted(names)[:most]
    if _LONGEST_ESCAPE * sum(map(len, first)) + 2 * len(first) <= MOST_CHARACTERS:
        return tuple(first)
    kept, left = [], MOST_CHARACTERS
    for name in first:
        left -= len(json.dumps(name))
        if left < 0:
            break
        kept.append(name)
    return tuple(kept)

"""The gate's walk over the parser's tree: which nodes, expressions, tables and functions a statement may be made of.

Everything is an allow-list: node kinds, expression classes, table names, table functions, functions; what is not listed
is refused (fail closed). Every object with a text ``type`` must be a known node. A query node opens a scope with the
names of its WITH clauses, in order, so that a name counts as a CTE only where DuckDB sees it as one. All other objects
and lists are walked through, whatever their key is called, so that a new field cannot hide a table.

Non-goals: the statement as a whole (``gate``), resource use, columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from enclave.gateway.scratch_names import NO_SCRATCH, ScratchKind, ScratchNames, ScratchObject

CATALOG = "extract"
"""Name of the attached database in the worker: the stem of ``extract.duckdb``."""
NUMBERED = "partitions"
"""Hidden database with the same tables and their row numbers, where a permit's rules hide the tables behind views."""

_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"})
_PLAIN_NODES = frozenset(
    {
        *("JOIN", "SUBQUERY", "EMPTY", "EXPRESSION_LIST", "PIVOT"),
        *("ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER"),
        *("ASCENDING", "DESCENDING", "ORDER_DEFAULT"),
    }
)
_EXPRESSION_CLASSES = frozenset(
    {
        *("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION"),
        *(
            "LAMBDA",
            "LAMBDA_REF",
            "OPERATOR",
            "PARAMETER",
            "POSITIONAL_REFERENCE",
            "STAR",
            "SUBQUERY",
            "TYPE",
            "WINDOW",
        ),
    }
)
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"})
_CATALOGUE_VIEWS = frozenset({"tables", "columns", "schemata"})
_SHOWN = frozenset({'"tables"', "tables", "__show_tables_expanded"})
_SYSTEM_PREFIXES = ("duckdb_", "pragma_", "sqlite_", "pg_", "information_schema")
_FUNCTION_SCHEMAS = frozenset({"main", "pg_catalog"})
_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)
_FUNCTIONS_FILE = Path(__file__).with_name("allowed_functions.txt")


def _read_functions() -> frozenset[str]:
    lines = _FUNCTIONS_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("# "))


ALLOWED_FUNCTIONS = _read_functions()


class StatementRefusedError(Exception):
    """The gate says no. ``rule`` is safe for a record; the sentence may repeat names the person typed."""

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(sentence)
        self.rule = rule
        self.sentence = sentence


@dataclass
class Walk:
    """``any`` walks a tree and raises StatementRefusedError; ``used`` then holds the tables it reads.

    ``known``: names of the manifest by their small letters.
    """

    known: dict[str, str]
    scratch: ScratchNames = NO_SCRATCH
    is_ours: bool = False
    used: set[str] = field(default_factory=set)

    def any(self, item: Any, scope: frozenset[str]) -> None:
        if isinstance(item, list):
            for part in item:
                self.any(part, scope)
        elif isinstance(item, dict):
            kind = item.get("type")
            if isinstance(kind, str):
                self.node(kind, item, scope)
            else:
                self.children(item, scope)

    def children(self, item: dict[str, Any], scope: frozenset[str], skip: frozenset[str] = frozenset()) -> None:
        for key, value in item.items():
            if key not in skip:
                self.any(value, scope)

    def node(self, kind: str, item: dict[str, Any], scope: frozenset[str]) -> None:
        if "class" in item:
            self.expression(item, scope)
        elif kind in _QUERY_NODES:
            self.query(kind, item, scope)
        elif kind == "BASE_TABLE":
            self.table(item, scope)
        elif kind == "TABLE_FUNCTION":
            self.table_function(item, scope)
        elif kind == "SHOW_REF":
            self.show(item, scope)
        elif kind in _PLAIN_NODES:
            self.children(item, scope)
        elif kind.endswith("_QUERY_NODE"):
            raise StatementRefusedError("writes", READ_ONLY)
        else:
            raise StatementRefusedError(
                "unknown-node", f"Expected a plain query, found a part the gateway does not know ({kind}). Rewrite it."
            )

    def query(self, kind: str, item: dict[str, Any], scope: frozenset[str]) -> None:
        for entry in item.get("cte_map", {}).get("map", []):
            name = folded(str(entry["key"]))
            if name.startswith(_SYSTEM_PREFIXES):
                raise StatementRefusedError("cte-name", "A WITH clause may not be named like a system table.")
            self.any(entry["value"], scope)
            scope = scope | {name}
        if kind == "RECURSIVE_CTE_NODE":  # its first part does not see its own name: there it is a table
            self.any(item.get("left"), scope)
            scope = scope | {folded(str(item.get("cte_name", "")))}
        self.children(item, scope, skip=frozenset({"cte_map", "left"} if kind == "RECURSIVE_CTE_NODE" else {"cte_map"}))

    def expression(self, item: dict[str, Any], scope: frozenset[str]) -> None:
        kind = item["class"]
        if kind not in _EXPRESSION_CLASSES:
            raise StatementRefusedError(
                "unknown-expression", f"Expected a plain expression, found {kind}, which the gateway does not know."
            )
        if kind == "FUNCTION" or (kind == "WINDOW" and item.get("function_name")):
            self.function(item, ALLOWED_FUNCTIONS)
        self.children(item, scope, skip=frozenset({"literal"}))

    def function(self, item: dict[str, Any], allowed: frozenset[str]) -> None:
        path = _path(item)
        name = path[-1]
        if name in allowed and all(part in _FUNCTION_SCHEMAS for part in path[:-1]):
            return
        if not self._own(self.scratch.resolve(path, [ScratchKind.MACRO])):
            raise StatementRefusedError(
                "function",
                f"Function {_shown(path)} is not available in a project space. "
                "Functions that compute from columns are; those that read files, settings or the catalogue are not.",
            )

    def table_function(self, item: dict[str, Any], scope: frozenset[str]) -> None:
        function = item.get("function")
        if not isinstance(function, dict) or function.get("class") != "FUNCTION":
            raise StatementRefusedError("table-function", "Expected a table function, found something else.")
        path = _path(function)
        is_plain = len(path) == 1 and path[0] in TABLE_FUNCTIONS
        if not is_plain and not self._own(self.scratch.resolve(path, [ScratchKind.TABLE_MACRO])):
            raise StatementRefusedError(
                "table-function",
                f"Table function {_shown(path)} is not available in a project space. Query the extract's tables: "
                f"{', '.join(sorted(self.known.values()))}. Also available: {', '.join(sorted(TABLE_FUNCTIONS))}.",
            )
        self.children(function, scope, skip=frozenset({"type", "class"}))
        self.children(item, scope, skip=frozenset({"function"}))

    def table(self, item: dict[str, Any], scope: frozenset[str]) -> None:
        if item.get("at_clause") is not None:
            raise StatementRefusedError("at-clause", "AT (…) is not available: an extract has one version.")
        path = _path(item)
        if not (len(path) == 1 and path[0] in scope):
            self._extract_table(path)
        self.children(item, scope)

    def _extract_table(self, path: list[str]) -> None:
        name = path[-1]
        schemas = [[], ["main"], [CATALOG], [CATALOG, "main"], *([[NUMBERED, "main"]] if self.is_ours else [])]
        if path[:-1] in schemas and name in self.known:
            self.used.add(self.known[name])
            return
        if path[:-1] in (["information_schema"], [CATALOG, "information_schema"]) and name in _CATALOGUE_VIEWS:
            return
        if self._own(self.scratch.resolve(path, [ScratchKind.TABLE, ScratchKind.VIEW])):
            return
        holds = ", ".join(sorted(self.known.values())) or "no table"
        raise StatementRefusedError(
            "table", f"Table {_shown(path)} is not in this project's extract. It holds: {holds}."
        )

    def _own(self, found: ScratchObject | None) -> bool:
        """Note what an object of the person's own reads; False when there is none."""
        if found is not None:
            old = self.scratch.find_barred(found)
            if old is not None:
                raise barred(old)
            self.used |= self.scratch.sources(found)
        return found is not None

    def show(self, item: dict[str, Any], scope: frozenset[str]) -> None:
        kind = item.get("show_type")
        if item.get("query") is None and kind == "SHOW":
            self._extract_table(_path(item))
        elif item.get("query") is None and (kind != "SHOW_SPECIAL" or item.get("table_name") not in _SHOWN):
            raise StatementRefusedError("show", "Only SHOW TABLES, DESCRIBE table and SUMMARIZE table are available.")
        self.children(item, scope)


def barred(item: ScratchObject) -> StatementRefusedError:
    """The refusal of something kept under other rules than those in force."""
    return StatementRefusedError(
        "scratch-rules",
        f"{item.name} was made under other rules of the data permit than those in force for you now, so it is not read "
        f"any more. Nothing is lost: it stays until you drop it. DROP TABLE {item.name}, and make it again.",
    )


READ_ONLY = (
    "The extract is read-only, so only queries are possible (SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE, "
    "SHOW TABLES). Keep intermediate results with CREATE TABLE name AS SELECT …, or as files in your workspace."
)


def _path(item: dict[str, Any]) -> list[str]:
    """Qualified name, lower case. A node without one is not what we think it is."""
    name = item.get("qualified_name")
    path = name.get("path") if isinstance(name, dict) else None
    if not path or not all(isinstance(part, str) for part in path):
        raise StatementRefusedError("unknown-node", "Expected a named table or function, found one without a name.")
    return [folded(part) for part in path]


def folded(name: str) -> str:
    """Small letters as DuckDB compares names: A to Z only (Python would take the Kelvin sign for a k)."""
    return name.translate(_SMALL)


def _shown(path: list[str]) -> str:
    text = ".".join(path)
    return text if len(text) <= 80 else text[:80] + "…"

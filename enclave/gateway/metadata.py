"""Flight SQL's catalogue commands, answered from the manifest: what a project's extract holds. No SQL runs for them."""

from __future__ import annotations

import re
from typing import assert_never

import pyarrow as pa

from enclave.domain.manifest import Manifest
from enclave.gateway.flightsql import (
    GetCatalogs,
    GetKeys,
    GetSchemas,
    GetSqlInfo,
    GetTables,
    GetTableTypes,
    GetTypeInfo,
)
from enclave.gateway.gate import CATALOG
from enclave.gateway.protobuf_wire import WireError
from enclave.gateway.sql_info import sql_info_table
from enclave.gateway.type_info import TYPE_INFO_SCHEMA, type_info_table

MetadataCommand = GetCatalogs | GetSchemas | GetTables | GetTableTypes | GetSqlInfo | GetKeys | GetTypeInfo
SCHEMA_NAME = "main"
TABLE_TYPE = "BASE TABLE"
_SIGN = re.compile(r"\\[%_\\]|.", re.DOTALL)
_LONGEST_PATTERN = 1000
"""Characters."""

_CATALOGS = pa.schema([pa.field("catalog_name", pa.string(), nullable=False)])
_SCHEMAS = pa.schema([pa.field("catalog_name", pa.string()), pa.field("db_schema_name", pa.string(), nullable=False)])
_TABLES = pa.schema(
    [
        pa.field("catalog_name", pa.string()),
        pa.field("db_schema_name", pa.string()),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("table_type", pa.string(), nullable=False),
    ]
)
_TABLE_TYPES = pa.schema([pa.field("table_type", pa.string(), nullable=False)])
_PRIMARY_KEYS = pa.schema(
    [
        pa.field("catalog_name", pa.string()),
        pa.field("db_schema_name", pa.string()),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("column_name", pa.string(), nullable=False),
        pa.field("key_sequence", pa.int32(), nullable=False),
        pa.field("key_name", pa.string()),
    ]
)
_FOREIGN_KEYS = pa.schema(
    [
        *(pa.field(f"pk_{part}_name", pa.string()) for part in ("catalog", "db_schema")),
        *(pa.field(f"pk_{part}_name", pa.string(), nullable=False) for part in ("table", "column")),
        *(pa.field(f"fk_{part}_name", pa.string()) for part in ("catalog", "db_schema")),
        *(pa.field(f"fk_{part}_name", pa.string(), nullable=False) for part in ("table", "column")),
        pa.field("key_sequence", pa.int32(), nullable=False),
        pa.field("fk_key_name", pa.string()),
        pa.field("pk_key_name", pa.string()),
        pa.field("update_rule", pa.uint8(), nullable=False),
        pa.field("delete_rule", pa.uint8(), nullable=False),
    ]
)


def metadata_schema(command: MetadataCommand) -> pa.Schema:
    """Schema of the answer, fixed by FlightSql.proto."""
    match command:
        case GetCatalogs():
            return _CATALOGS
        case GetSchemas():
            return _SCHEMAS
        case GetTables(include_schema=True):
            return _TABLES.append(pa.field("table_schema", pa.binary(), nullable=False))
        case GetTables():
            return _TABLES
        case GetTableTypes():
            return _TABLE_TYPES
        case GetSqlInfo():
            return sql_info_table(()).schema
        case GetKeys(kind="CommandGetPrimaryKeys"):
            return _PRIMARY_KEYS
        case GetKeys():
            return _FOREIGN_KEYS
        case GetTypeInfo():
            return TYPE_INFO_SCHEMA
        case _:
            assert_never(command)


def metadata_table(command: MetadataCommand, manifest: Manifest, schemas: dict[str, pa.Schema]) -> pa.Table:
    """The answer. ``schemas`` (Arrow schema by table) is needed only for GetTables with include_schema."""
    schema = metadata_schema(command)
    match command:
        case GetCatalogs():
            return pa.table([[CATALOG]], schema=schema)
        case GetSchemas():
            wanted = _is_catalog(command.catalog) and _matches(command.schema_pattern, SCHEMA_NAME)
            return pa.table([[CATALOG], [SCHEMA_NAME]], schema=schema) if wanted else schema.empty_table()
        case GetTables():
            return _tables(command, manifest, schemas)
        case GetTableTypes():
            return pa.table([[TABLE_TYPE]], schema=schema)
        case GetSqlInfo():
            return sql_info_table(command.codes)
        case GetTypeInfo():
            return type_info_table(command.number)
        case GetKeys():
            return schema.empty_table()
        case _:
            assert_never(command)


def _tables(command: GetTables, manifest: Manifest, schemas: dict[str, pa.Schema]) -> pa.Table:
    schema = metadata_schema(command)
    wanted = _is_catalog(command.catalog) and _matches(command.schema_pattern, SCHEMA_NAME)
    wanted = wanted and (not command.table_types or TABLE_TYPE in command.table_types)
    names = [table.name for table in manifest.tables if wanted and _matches(command.table_pattern, table.name)]
    columns: list[list[object]] = [[CATALOG] * len(names), [SCHEMA_NAME] * len(names), list(names)]
    columns.append([TABLE_TYPE] * len(names))
    if command.include_schema:
        columns.append([schemas[name].serialize().to_pybytes() for name in names])
    return pa.table([pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)], schema=schema)


def _is_catalog(asked: str | None) -> bool:
    return asked is None or asked in ("", CATALOG)


def _matches(pattern: str | None, name: str) -> bool:
    """SQL LIKE with ``%``, ``_`` and ``\\`` before either, without regard to case; None matches everything.

    Steps: at most the pattern's length times the name's. A regular expression tries every way to share the name out
    among the ``%``, and holds the interpreter's lock meanwhile. Raises WireError for a pattern nobody needs.
    """
    if pattern is None:
        return True
    if len(pattern) > _LONGEST_PATTERN:
        raise WireError(f"expected a pattern of at most {_LONGEST_PATTERN} characters, found {len(pattern)}")
    signs = _SIGN.findall(pattern)
    sign = at = after_many = retried_at = 0
    while at < len(name):
        found = signs[sign] if sign < len(signs) else ""
        if found == "%":
            sign = after_many = sign + 1
            retried_at = at
        elif found == "_" or found[-1:].lower() == name[at].lower():
            sign, at = sign + 1, at + 1
        elif after_many:  # let the last % take one character more
            retried_at += 1
            sign, at = after_many, retried_at
        else:
            return False
    return all(found == "%" for found in signs[sign:])

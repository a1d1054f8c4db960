"""Answer to CommandGetXdbcTypeInfo: DuckDB's types with their XDBC numbers (FlightSql.proto, enum XdbcDataType)."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

_NULLABLE, _SEARCHABLE_FULL, _SEARCHABLE_BASIC = 1, 3, 2
_DATETIME, _INTERVAL = 9, 10
_DECIMAL_DIGITS = 38

_REQUIRED = frozenset(
    {
        *("type_name", "data_type", "nullable", "case_sensitive", "searchable"),
        *("fixed_prec_scale", "sql_data_type"),
    }
)
TYPE_INFO_SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=name not in _REQUIRED)
        for name, kind in (
            ("type_name", pa.string()),
            ("data_type", pa.int32()),
            ("column_size", pa.int32()),
            ("literal_prefix", pa.string()),
            ("literal_suffix", pa.string()),
            ("create_params", pa.list_(pa.field("item", pa.string(), nullable=False))),
            ("nullable", pa.int32()),
            ("case_sensitive", pa.bool_()),
            ("searchable", pa.int32()),
            ("unsigned_attribute", pa.bool_()),
            ("fixed_prec_scale", pa.bool_()),
            ("auto_increment", pa.bool_()),
            ("local_type_name", pa.string()),
            ("minimum_scale", pa.int32()),
            ("maximum_scale", pa.int32()),
            ("sql_data_type", pa.int32()),
            ("datetime_subcode", pa.int32()),
            ("num_prec_radix", pa.int32()),
            ("interval_precision", pa.int32()),
        )
    ]
)


@dataclass(frozen=True)
class _Type:
    name: str
    number: int
    size: int | None
    radix: int | None = None
    is_unsigned: bool | None = None
    is_quoted: bool = False
    sql_number: int | None = None
    subcode: int | None = None
    scale: int | None = None


_TYPES = (
    _Type("BOOLEAN", -7, 1),
    _Type("TINYINT", -6, 3, 10, False),
    _Type("UTINYINT", -6, 3, 10, True),
    _Type("BIGINT", -5, 19, 10, False),
    _Type("UBIGINT", -5, 20, 10, True),
    _Type("BLOB", -3, None, is_quoted=True),
    _Type("HUGEINT", 2, 38, 10, False),
    _Type("DECIMAL", 3, _DECIMAL_DIGITS, 10, False, scale=_DECIMAL_DIGITS),
    _Type("INTEGER", 4, 10, 10, False),
    _Type("UINTEGER", 4, 10, 10, True),
    _Type("SMALLINT", 5, 5, 10, False),
    _Type("USMALLINT", 5, 5, 10, True),
    _Type("FLOAT", 7, 24, 2, False),
    _Type("DOUBLE", 8, 53, 2, False),
    _Type("INTERVAL", _INTERVAL, None, is_quoted=True),
    _Type("VARCHAR", 12, None, is_quoted=True),
    _Type("UUID", 12, 36, is_quoted=True),
    _Type("DATE", 91, 10, is_quoted=True, sql_number=_DATETIME, subcode=1),
    _Type("TIME", 92, 15, is_quoted=True, sql_number=_DATETIME, subcode=2, scale=6),
    _Type("TIMESTAMP", 93, 26, is_quoted=True, sql_number=_DATETIME, subcode=3, scale=6),
    _Type("TIMESTAMP WITH TIME ZONE", 93, 32, is_quoted=True, sql_number=_DATETIME, subcode=5, scale=6),
)


def type_info_table(number: int | None) -> pa.Table:
    """All types, or those with one XDBC number."""
    rows = [_row(kind) for kind in _TYPES if number is None or kind.number == number]
    return pa.Table.from_pylist(rows, schema=TYPE_INFO_SCHEMA)


def _row(kind: _Type) -> dict[str, object]:
    quote = "'" if kind.is_quoted else None
    return {
        "type_name": kind.name,
        "data_type": kind.number,
        "column_size": kind.size,
        "literal_prefix": quote,
        "literal_suffix": quote,
        "create_params": ["precision", "scale"] if kind.name == "DECIMAL" else None,
        "nullable": _NULLABLE,
        "case_sensitive": kind.name == "VARCHAR",
        "searchable": _SEARCHABLE_FULL if kind.name == "VARCHAR" else _SEARCHABLE_BASIC,
        "unsigned_attribute": kind.is_unsigned,
        "fixed_prec_scale": False,
        "auto_increment": None if kind.radix is None else False,
        "local_type_name": kind.name,
        "minimum_scale": None if kind.scale is None else 0,
        "maximum_scale": kind.scale,
        "sql_data_type": kind.sql_number or kind.number,
        "datetime_subcode": kind.subcode,
        "num_prec_radix": kind.radix,
        "interval_precision": None,
    }

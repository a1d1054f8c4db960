"""Answers to CommandGetSqlInfo: what this server is and can do (codes of FlightSql.proto, enum SqlInfo)."""

from __future__ import annotations

from importlib.metadata import version

import pyarrow as pa

_SERVER_NAME, _SERVER_VERSION, _ARROW_VERSION, _READ_ONLY, _HAS_SQL, _HAS_SUBSTRAIT = 0, 1, 2, 3, 4, 5
_TRANSACTION, _CANCEL, _BULK = 8, 9, 10
_IDENTIFIER_CASE, _QUOTE_CHARACTER = 503, 504

_ENTRIES: dict[int, str | bool | int] = {
    _SERVER_NAME: "Enclave gateway",
    _SERVER_VERSION: version("enclave-tre"),
    _ARROW_VERSION: pa.__version__,
    _READ_ONLY: True,
    _HAS_SQL: True,
    _HAS_SUBSTRAIT: False,
    _TRANSACTION: 0,
    _CANCEL: True,
    _BULK: False,
    _IDENTIFIER_CASE: 3,
    _QUOTE_CHARACTER: '"',
}
_STRING, _BOOL, _BIGINT, _INT32 = 0, 1, 2, 3

_VALUE_FIELDS = [
    pa.field("string_value", pa.string()),
    pa.field("bool_value", pa.bool_()),
    pa.field("bigint_value", pa.int64()),
    pa.field("int32_bitmask", pa.int32()),
    pa.field("string_list", pa.list_(pa.string())),
    pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
]


def sql_info_table(codes: tuple[int, ...]) -> pa.Table:
    """The known ones among ``codes``, all when empty."""
    wanted = [code for code in _ENTRIES if not codes or code in codes]
    children: list[list[object]] = [[] for _ in _VALUE_FIELDS]
    kinds, offsets = [], []
    for code in wanted:
        value = _ENTRIES[code]
        kind = _BOOL if isinstance(value, bool) else _INT32 if isinstance(value, int) else _STRING
        kinds.append(kind)
        offsets.append(len(children[kind]))
        children[kind].append(value)
    union = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()),
        pa.array(offsets, pa.int32()),
        [pa.array(values, field.type) for values, field in zip(children, _VALUE_FIELDS, strict=True)],
        [field.name for field in _VALUE_FIELDS],
    )
    schema = pa.schema(
        [pa.field("info_name", pa.uint32(), nullable=False), pa.field("value", union.type, nullable=False)]
    )
    return pa.Table.from_arrays([pa.array(wanted, pa.uint32()), union], schema=schema)

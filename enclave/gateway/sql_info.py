"""Answers to CommandGetSqlInfo: what this server is and can do (codes of FlightSql.proto, enum SqlInfo).

Every code is answered, because the JDBC driver throws on a question without an answer. Values are DuckDB's; what
changes data is answered with no, for the extract is read-only.
"""

from __future__ import annotations

from importlib.metadata import version

import pyarrow as pa

_STRING, _BOOL, _BIGINT, _INT32, _STRINGS, _MAP = range(6)
_VALUE_FIELDS = [
    pa.field("string_value", pa.string()),
    pa.field("bool_value", pa.bool_()),
    pa.field("bigint_value", pa.int64()),
    pa.field("int32_bitmask", pa.int32()),
    pa.field("string_list", pa.list_(pa.string())),
    pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
]
_NAME, _VERSION, _ARROW_VERSION, _READ_ONLY, _CANCEL, _QUOTE, _SEARCH_ESCAPE = 0, 1, 2, 3, 9, 504, 513
_STATEMENT_LIFETIME_MS = 3_600_000

_TEXTS = {
    _NAME: "Enclave gateway",
    _VERSION: version("enclave-tre"),
    _ARROW_VERSION: pa.__version__,
    _QUOTE: '"',
    _SEARCH_ESCAPE: "\\",
    514: "",  # characters in unquoted names beyond letters, digits and _
    529: "schema",
    530: "procedure",
    531: "catalog",
}
_YES = frozenset(
    {
        *(_READ_ONLY, 4, _CANCEL, 506),  # SQL; every table listed may be read
        *(515, 516, 518, 520, 521, 523),  # aliases, NULL || x, table names in queries, ORDER BY, LIKE … ESCAPE
        *(532, 539, 574),  # catalog first, correlated subqueries, named parameters
    }
)
_NO = frozenset(
    {
        *(5, 10, 11, 500, 501, 502),  # Substrait, bulk ingest, CREATE and DROP of catalogs, schemas, tables
        *(519, 524, 527, 536, 537, 556),  # NOT NULL and integrity constraints, FOR UPDATE, stored procedures
        *(563, 565, 566, 572, 573, 575, 576),  # transactions, batch updates, savepoints, locators, CALL
    }
)
_NUMBERS = {
    8: 0,  # transactions: none
    100: _STATEMENT_LIFETIME_MS,
    101: 0,
    503: 1,  # names are compared without case and kept as written
    505: 1,
    507: 3,  # NULLs come last
    522: 0b11,
    525: 0b111,
    526: 0b001,
    528: 0b110,  # limited and full outer joins
    533: 0,
    534: 0,
    535: 0,
    538: 0b1111,
    540: 0b11,
    564: 0b1,
    567: 0b10,  # forward only
    568: 0b1,
    569: 0b10,  # read only
    570: 0,
    571: 0,
}
_NO_LIMIT = frozenset({*range(541, 556), *range(557, 562)})
_LISTS = range(508, 513)
_DEFAULT_ISOLATION, _CONVERSIONS = 562, 517


def _entries() -> dict[int, tuple[int, object]]:
    found: dict[int, tuple[int, object]] = {code: (_STRING, text) for code, text in _TEXTS.items()}
    found |= {code: (_BOOL, code in _YES) for code in _YES | _NO}
    found |= {code: (_INT32, number) for code, number in _NUMBERS.items()}
    found |= {code: (_BIGINT, 0) for code in _NO_LIMIT | {_DEFAULT_ISOLATION}}
    found |= {code: (_STRINGS, []) for code in _LISTS}
    return dict(sorted((found | {_CONVERSIONS: (_MAP, [])}).items()))


_ENTRIES = _entries()


def sql_info_table(codes: tuple[int, ...]) -> pa.Table:
    """The known ones among ``codes``, all when empty."""
    wanted = [code for code in _ENTRIES if not codes or code in codes]
    children: list[list[object]] = [[] for _ in _VALUE_FIELDS]
    kinds, offsets = [], []
    for code in wanted:
        kind, value = _ENTRIES[code]
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

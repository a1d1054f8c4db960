"""Catalogue answers that need no server: SqlInfo, type info, name patterns, keys."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.gateway.flightsql import GetKeys, GetTypeInfo, pack_any, parse_command
from enclave.gateway.metadata import _matches, metadata_schema
from enclave.gateway.protobuf_wire import WireError, field_int
from enclave.gateway.sql_info import sql_info_table
from enclave.gateway.type_info import TYPE_INFO_SCHEMA, type_info_table

DEFINED = [*range(6), *range(8, 12), 100, 101, *range(500, 577)]


def test_every_defined_question_about_the_server_has_an_answer() -> None:
    assert sql_info_table(()).column("info_name").to_pylist() == DEFINED


def test_only_what_is_asked_is_answered() -> None:
    table = sql_info_table((3, 9999, 0))
    table.validate(full=True)
    assert table.to_pydict() == {"info_name": [0, 3], "value": ["Enclave gateway", True]}


def test_type_information_is_whole_and_can_be_narrowed() -> None:
    table = type_info_table(None)
    table.validate(full=True)
    assert table.schema == TYPE_INFO_SCHEMA
    assert len(TYPE_INFO_SCHEMA) == 19
    assert type_info_table(-5).column("type_name").to_pylist() == ["BIGINT", "UBIGINT"]
    assert type_info_table(-999).num_rows == 0


def test_a_negative_type_number_is_read() -> None:
    asked = pack_any("CommandGetXdbcTypeInfo", field_int(1, (1 << 64) - 5))
    assert parse_command(asked) == GetTypeInfo(-5)
    assert parse_command(pack_any("CommandGetXdbcTypeInfo", b"")) == GetTypeInfo(None)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (None, "person", True),
        ("PER%", "person", True),
        ("p_rson", "person", True),
        (r"p\_rson", "person", False),
        (r"my\_table", "my_table", True),
        (r"50\%", "50%", True),
        ("a.c", "abc", False),
        ("", "person", False),
    ],
)
def test_patterns_are_those_of_like(pattern: str | None, name: str, expected: bool) -> None:
    assert _matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("kind", "columns"),
    [("CommandGetPrimaryKeys", 6), ("CommandGetImportedKeys", 13), ("CommandGetCrossReference", 13)],
)
def test_keys_are_empty_and_well_formed(kind: str, columns: int) -> None:
    assert len(metadata_schema(GetKeys(kind))) == columns
    assert isinstance(metadata_schema(GetKeys(kind)).empty_table(), pa.Table)


@given(st.text("%_ab\\", max_size=8), st.text("ab%_", max_size=6))
def test_patterns_match_as_a_regular_expression_would(pattern: str, name: str) -> None:
    signs = re.findall(r"\\[%_\\]|.", pattern)
    expression = "".join({"%": ".*", "_": "."}.get(sign, re.escape(sign[-1])) for sign in signs)
    assert _matches(pattern, name) == (re.fullmatch(expression, name) is not None)


@pytest.mark.parametrize("pattern", ["%" * 999 + "x", "%_" * 400 + "%x", "%a" * 400 + "x"])
def test_no_pattern_keeps_the_front_busy(pattern: str) -> None:
    """As a regular expression these do not end within a lifetime, and nobody else is answered meanwhile."""
    assert not _matches(pattern, "a" * 60)


def test_a_pattern_nobody_needs_is_refused() -> None:
    with pytest.raises(WireError, match="at most 1000"):
        _matches("%" * 1001, "visit")

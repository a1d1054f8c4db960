"""The Flight SQL codec: any bytes parse or raise WireError, and what is written reads back."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enclave.gateway import flightsql as fs
from enclave.gateway.direct_query import PREFIX, parse_direct
from enclave.gateway.protobuf_wire import (
    LARGEST,
    WireError,
    decode_varint,
    encode_varint,
    field_bytes,
    field_int,
    last_bytes,
    parse_fields,
)


@given(st.integers(0, 2**64 - 1))
def test_varints_read_back(value: int) -> None:
    assert decode_varint(encode_varint(value), 0) == (value, len(encode_varint(value)))


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.one_of(st.binary(max_size=50), st.integers(0, 2**64 - 1)))))
def test_fields_read_back(fields: list[tuple[int, int | bytes]]) -> None:
    written = b"".join(field_bytes(n, v) if isinstance(v, bytes) else field_int(n, v) for n, v in fields)
    assert parse_fields(written) == fields


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    for parse in (parse_fields, fs.parse_command, fs.parse_create_prepared, fs.parse_close_prepared, fs.parse_cancel):
        try:
            parse(data)
        except WireError as error:
            assert str(error)


@given(st.binary(max_size=100))
@example(b"\x22\x01\xff")  # a table type that is no UTF-8
def test_any_body_in_a_known_command_parses_or_is_refused(body: bytes) -> None:
    for name in ("CommandStatementQuery", "CommandGetTables", "CommandGetSqlInfo", "CommandGetDbSchemas"):
        try:
            fs.parse_command(fs.pack_any(name, body))
        except WireError as error:
            assert str(error)


_INFO = "CommandGetSqlInfo"


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (parse_fields, b"x" * 4_000_000),
        (fs.parse_command, b"x" * 4_000_000),
        (fs.parse_command, fs.pack_any(_INFO, field_int(1, 8) * 2_000_000)),
        (fs.parse_command, fs.pack_any(_INFO, field_bytes(1, b"\x08" * 4_000_000))),
        (fs.parse_command, bytes(LARGEST + 1)),
        (parse_direct, PREFIX + bytes(LARGEST)),
    ],
    ids=["fields", "a command of fields", "codes one by one", "packed codes", "a long command", "a long ticket"],
)
def test_what_is_more_than_any_message_of_ours_is_refused_before_it_fills_the_memory(
    parse: Callable[[bytes], object], data: bytes
) -> None:
    """Asked before anybody is admitted: 100 MB of fields took 4.3 GB of the front."""
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match=r"expected (at most|a message of at most)"):
            parse(data)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(data) + (1 << 20)
    finally:
        tracemalloc.stop()


def test_as_many_codes_as_any_client_asks_for_are_read() -> None:
    packed = b"".join(encode_varint(code) for code in range(1000))
    assert fs.parse_command(fs.pack_any(_INFO, field_bytes(1, packed))) == fs.GetSqlInfo(tuple(range(1000)))


def test_the_name_of_an_unknown_command_is_cut() -> None:
    assert fs.parse_command(fs.pack_any("x" * 500_000, b"")) == fs.Unsupported("x" * 60)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_integers_outside_64_bits_are_refused(value: int) -> None:
    with pytest.raises(WireError, match="2\\*\\*64"):
        encode_varint(value)


@pytest.mark.parametrize("data", [b"\x80", b"\xff" * 10, b"\x00\x01", b"\x0a\x05ab", b"\x0b", b"\x0d\x01"])
def test_broken_messages_are_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="expected"):
        parse_fields(data)


def test_commands_keep_their_fields() -> None:
    assert fs.parse_command(fs.pack_any("CommandStatementQuery", field_bytes(1, "SELECT 1"))) == fs.StatementQuery(
        "SELECT 1"
    )
    tables = field_bytes(3, "p%") + field_bytes(4, "BASE TABLE") + field_int(5, 1)
    assert fs.parse_command(fs.pack_any("CommandGetTables", tables)) == fs.GetTables(
        None, None, "p%", ("BASE TABLE",), True
    )
    packed = field_bytes(1, encode_varint(0) + encode_varint(503)) + field_int(1, 4)
    assert fs.parse_command(fs.pack_any("CommandGetSqlInfo", packed)) == fs.GetSqlInfo((0, 503, 4))
    assert fs.parse_command(fs.pack_any("CommandStatementUpdate", b"")) == fs.Unsupported("CommandStatementUpdate")
    assert fs.parse_command(fs.statement_ticket(b"h")) == fs.StatementTicket(b"h")


def test_messages_of_others_are_refused() -> None:
    with pytest.raises(WireError, match="Flight SQL client"):
        fs.parse_command(field_bytes(1, "type.googleapis.com/other.Message") + field_bytes(2, b""))


def test_a_transaction_is_refused() -> None:
    body = field_bytes(1, "SELECT 1") + field_bytes(2, b"t1")
    with pytest.raises(WireError, match="transaction"):
        fs.parse_create_prepared(fs.pack_any("ActionCreatePreparedStatementRequest", body))


def test_cancel_finds_the_ticket_inside_the_flight_info() -> None:
    ticket = fs.statement_ticket(b"handle")
    info = field_bytes(3, field_bytes(1, field_bytes(1, ticket)))
    assert fs.parse_cancel(field_bytes(1, info)) == ticket
    assert fs.parse_cancel(fs.pack_any("ActionCancelQueryRequest", field_bytes(1, info))) == ticket


def test_the_prepared_result_carries_the_handle() -> None:
    name, body = fs.unpack_any(fs.create_prepared_result(b"handle", b"schema", b"parameters"))
    assert name == "ActionCreatePreparedStatementResult"
    assert [last_bytes(parse_fields(body), n) for n in (1, 2, 3)] == [b"handle", b"schema", b"parameters"]

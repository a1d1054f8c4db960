"""Pure parts of worker and front: cutting batches, plain Arrow types, error sentences, frames, catalogue answers."""

from __future__ import annotations

import socket
import threading
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.domain.manifest import Manifest, ManifestTable
from enclave.gateway.engine import BATCH_BYTES, RowTooLargeError, cut, run
from enclave.gateway.flightsql import GetSchemas, GetSqlInfo, GetTables
from enclave.gateway.frames import BATCH, MAXIMUM_FRAME, BrokenFrameError, receive_frame, send_frame
from enclave.gateway.metadata import metadata_table
from enclave.gateway.plain_arrow import plain_batch, plain_schema
from enclave.gateway.release import ReleaseRefusedError, parse_request


def test_batches_are_cut_below_the_message_limit_and_nothing_is_lost() -> None:
    batch = pa.record_batch({"i": list(range(40)), "text": ["x" * 1_000_000] * 40})
    pieces = list(cut(batch))
    assert all(piece.nbytes <= BATCH_BYTES for piece in pieces)
    assert [row for piece in pieces for row in piece["i"].to_pylist()] == list(range(40))


def test_a_row_larger_than_a_message_is_refused() -> None:
    with pytest.raises(RowTooLargeError, match="larger than 15 MiB"):
        list(cut(pa.record_batch({"text": ["x" * (16 << 20)]})))


def test_dictionaries_become_plain_values_at_any_depth() -> None:
    sex = pa.array(["F", "M"]).dictionary_encode()
    batch = pa.record_batch({"s": sex, "t": pa.StructArray.from_arrays([sex], ["k"]), "i": [1, 2]})
    schema = plain_schema(batch.schema)
    assert schema == pa.schema([("s", pa.string()), ("t", pa.struct([("k", pa.string())])), ("i", pa.int64())])
    assert plain_batch(batch, schema).to_pylist() == batch.to_pylist()


@given(st.lists(st.tuples(st.sampled_from([b"A", b"B", b"Z"]), st.binary(max_size=3000)), max_size=8))
def test_frames_read_back_and_end_cleanly(frames: list[tuple[bytes, bytes]]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def send() -> None:
            for kind, content in frames:
                send_frame(theirs, kind, content)
            theirs.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        received = []
        while (frame := receive_frame(ours)) is not None:
            received.append((frame[0], bytes(frame[1])))
        thread.join()
    assert received == frames


@pytest.mark.parametrize(
    "raw", [b"B\x00", b"B\x00\x00\x00\x05abc", b"B" + (MAXIMUM_FRAME + 1).to_bytes(4, "big"), b"B\x00\x00\x00\x01"]
)
def test_a_frame_that_breaks_off_is_noticed(raw: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(raw)
        with pytest.raises(BrokenFrameError):
            receive_frame(ours)


def test_waiting_for_a_frame_can_be_given_up() -> None:
    ours, theirs = socket.socketpair()

    def give_up() -> None:
        raise TimeoutError

    with ours, theirs, pytest.raises(TimeoutError):
        receive_frame(ours, give_up)
    assert BATCH == b"B"


def _manifest(*names: str) -> Manifest:
    tables = tuple(
        ManifestTable(
            name=name,
            rows=1,
            source_rows=1,
            columns=(),
            person=None,
            dropped_columns=(),
            dropped_rows_filter=0,
            dropped_rows_opt_out=0,
            dropped_rows_no_person=0,
        )
        for name in names
    )
    return Manifest(
        project="p",
        extract_version="v1",
        dataset="d",
        dataset_version="1",
        permit_sha256="0",
        built_at="2026-01-01T00:00:00Z",
        source_kind="duckdb",
        people=1,
        opt_outs_listed=0,
        opt_outs_matched=0,
        date_shift_days=0,
        tables=tables,
        dropped_tables=(),
        files=(),
    )


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (None, ["drug_era", "person"]),
        ("p%", ["person"]),
        ("P_RSON", ["person"]),
        ("%", ["drug_era", "person"]),
        ("drug.era", []),
        ("", []),
    ],
)
def test_tables_are_found_by_pattern(pattern: str | None, found: list[str]) -> None:
    table = metadata_table(GetTables(table_pattern=pattern), _manifest("drug_era", "person"), {})
    assert table["table_name"].to_pylist() == found


def test_other_catalogs_and_schemas_hold_nothing() -> None:
    manifest = _manifest("person")
    assert metadata_table(GetTables(catalog="other"), manifest, {}).num_rows == 0
    assert metadata_table(GetTables(table_types=("VIEW",)), manifest, {}).num_rows == 0
    assert metadata_table(GetSchemas(schema_pattern="ma%"), manifest, {}).num_rows == 1
    assert metadata_table(GetSchemas(schema_pattern="x"), manifest, {}).num_rows == 0


def test_only_asked_server_facts_are_answered() -> None:
    assert metadata_table(GetSqlInfo((0, 99999)), _manifest(), {}).to_pylist() == [
        {"info_name": 0, "value": "Enclave gateway"}
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"files": [], "title": "t", "context": "c"}',
        b'{"files": "a.csv", "title": "t", "context": "c"}',
        b'{"files": [1], "title": "t", "context": "c"}',
        b'{"files": ["a"], "title": 1, "context": "c"}',
        b'{"files": ["a"], "title": "t", "context": "c", "token": "x"}',
        b'{"files": ["a"], "title": "t", "context": "c", "follows": null}',
        b"[" * 50_000,
        b"x" * 100_001,
    ],
)
def test_release_requests_of_another_form_are_refused(body: bytes) -> None:
    with pytest.raises(ReleaseRefusedError, match="Expected"):
        parse_request(body)


def test_a_release_request_keeps_its_fields() -> None:
    content = b'{"files": ["a.csv"], "title": "t", "context": "c"}'
    assert parse_request(content) == {"files": ["a.csv"], "title": "t", "context": "c"}
    follows = b'{"files": ["a.csv"], "title": "t", "context": "c", "follows": "r-0123456789ab"}'
    assert parse_request(follows)["follows"] == "r-0123456789ab"


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT i, 'x' || i AS t FROM range(100000) r(i)", None),
        ("SELECT ?::INTEGER + ? AS s", [1, 2]),
        ("SELECT $a || $b AS s", {"a": "x", "b": "y"}),
        ("FROM (VALUES (1, [1, 2], {'a': DATE '2020-01-01'})) v(a, b, c)", None),
        ("SUMMARIZE SELECT 1 AS a", None),
        ("DESCRIBE SELECT 1 AS a", None),
        ("PIVOT (SELECT 1 AS a, 'x' AS b) ON b IN ('x', 'y') USING sum(a)", None),
        ("SELECT 1 AS a WHERE false", None),
    ],
)
def test_running_a_statement_gives_what_duckdb_s_own_relation_gives(sql: str, parameters: Any) -> None:
    with duckdb.connect() as connection:
        expected = (connection.sql(sql, params=parameters) if parameters else connection.sql(sql)).to_arrow_reader()
        rows = expected.read_all()
        found = run(connection, sql, parameters)
        assert found.schema == expected.schema
        assert found.read_all() == rows

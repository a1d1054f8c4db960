"""``enclave_client`` in one round trip: admission, gate and records as on any other road, and it can be stopped."""

from __future__ import annotations

import _thread
import importlib
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import flight

_CLIENT = Path(__file__).resolve().parents[3] / "workspace_images" / "client"
_ENDLESS = "SELECT count(*) FROM visit a, visit b, visit c WHERE a.visit_id * b.visit_id < c.visit_id + random()"


def _ticket(sql: bytes, tail: bytes = b"", length: int | None = None) -> flight.Ticket:
    size = struct.pack("!I", len(sql) if length is None else length)
    return flight.Ticket(b"enclave.query/1\n" + bytes(16) + size + sql + tail)


def _options(token: str) -> flight.FlightCallOptions:
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())], timeout=60)


@pytest.fixture
def enclave(gateway: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    token = tmp_path / "token"
    token.write_text(gateway.token())
    monkeypatch.setenv("ENCLAVE_TOKEN_FILE", str(token))
    monkeypatch.setenv("ENCLAVE_GATEWAY", f"grpc+unix://{gateway.socket()}")
    monkeypatch.syspath_prepend(str(_CLIENT))
    for name in [name for name in sys.modules if name.startswith("enclave_client")]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("enclave_client")


def test_rows_parameters_and_both_records(gateway: Any, enclave: Any) -> None:
    assert enclave.sql("SELECT count(*) AS n FROM visit").arrow().to_pylist() == [{"n": 5000}]
    found = enclave.sql("SELECT ? + 1 AS a, ? AS b", [41, "x"]).arrow().to_pylist()
    assert found == [{"a": 42, "b": "x"}]
    outcome = gateway.wait_event("query:outcome", status="ok")
    assert outcome["actor"] == "u-000000000001"
    intents = [leaf for leaf in gateway.events("query:intent") if leaf["request_id"] == outcome["request_id"]]
    assert len(intents) == 1 and intents[0]["data"]["purpose"] == "rows"


def test_the_gate_and_the_admission_are_the_same(gateway: Any, enclave: Any) -> None:
    with pytest.raises(enclave.EnclaveError, match="not in this project's extract"):
        enclave.sql("SELECT * FROM elsewhere")
    with pytest.raises(enclave.EnclaveError, match="read-only"):
        enclave.sql("COPY visit TO 'x'")
    assert gateway.wait_event("query:refused")["decision"] == "deny"
    with flight.connect(f"grpc+unix://{gateway.socket()}") as channel:
        with pytest.raises(flight.FlightUnauthenticatedError):
            channel.do_get(_ticket(b"SELECT 1"))
        with pytest.raises(flight.FlightUnauthorizedError):
            channel.do_get(_ticket(b"SELECT 1"), _options(gateway.token("u-000000000003")))


@pytest.mark.parametrize(
    "ticket",
    [
        flight.Ticket(b"enclave.query/1\n"),
        _ticket(b"SELECT 1", length=1000),
        _ticket(b"SELECT 1", length=0xFFFFFFFF),
        _ticket(b"SELECT '\xff'"),
        _ticket(b"SELECT ?", tail=b"no arrow"),
        _ticket(b"SELECT ?", tail=bytes(2 << 20)),
    ],
)
def test_a_malformed_ticket_is_refused_with_a_sentence(gateway: Any, ticket: flight.Ticket) -> None:
    with (
        flight.connect(f"grpc+unix://{gateway.socket()}") as channel,
        pytest.raises(flight.FlightServerError, match="not a Flight SQL request"),
    ):
        channel.do_get(ticket, _options(gateway.token())).read_all()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's background job starts with interrupts ignored; a notebook's kernel does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_stops_the_query_at_the_gateway(gateway: Any, enclave: Any, interruptible: None) -> None:
    def tell(rows: int, seconds: float) -> None:
        if seconds > 0.3:
            _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        enclave.sql(_ENDLESS, progress=tell)
    assert gateway.wait_event("query:outcome", status="cancelled")


def test_only_the_own_query_can_be_stopped(gateway: Any) -> None:
    with flight.connect(f"grpc+unix://{gateway.socket()}") as channel:
        answer = list(channel.do_action(flight.Action("enclave.cancel_query", bytes(16)), _options(gateway.token())))
    assert answer[0].body.to_pybytes() == b'{"cancelled": false}'


def test_stalled_readers_hold_little_and_are_let_go_when_they_vanish(gateway: Any) -> None:
    """One that reads nothing more is not seen by the next batch, because there is none: Flight dropping it must do."""
    sql, channels = b"SELECT i, repeat('x', 100) AS text FROM range(1_500_000) r(i)", []
    for _ in range(4):
        channel = flight.connect(f"grpc+unix://{gateway.socket()}")
        reader = channel.do_get(_ticket(sql), _options(gateway.token()))
        reader.read_chunk()
        channels.append((channel, reader))
    held = len(list(Path(f"/proc/{gateway.front.pid}/fd").iterdir()))
    known = len(gateway.events("query:outcome"))
    for channel, reader in channels:
        reader.cancel()
        channel.close()

    def ended() -> bool:
        found = [leaf["data"]["status"] for leaf in gateway.events("query:outcome")[known:]]
        return found.count("cancelled") >= 4

    gateway.wait_for(ended, what="the outcomes of four readers that vanished")
    gateway.wait_for(
        lambda: len(list(Path(f"/proc/{gateway.front.pid}/fd").iterdir())) <= held - 4, what="their descriptors to go"
    )

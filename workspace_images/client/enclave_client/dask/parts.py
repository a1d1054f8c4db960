"""The parts of a table as a task knows them: which part of what, never a ticket, never a token.

A ticket opens once and for fifteen minutes, while Dask may run a task late, twice, or again after a worker was lost.
So no ticket is put into a graph: the task asks for the ticket of its part when it runs and redeems it at once. Run
again, it asks again. Address and token are read by the process that runs the task, from its own environment and token
file. If the extract was built again meanwhile, the gateway refuses: parts of two versions never mix.
"""

from __future__ import annotations

import base64
import contextlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclave_client.errors import EnclaveError, as_sentence, is_worth_another_try
from enclave_client.session import call_action, gateway_address, read_token

if TYPE_CHECKING:
    import pyarrow

_TRIES = 3
_BUSY = re.compile(r"You already run \d+ queries")
_BUSY_SECONDS = 300.0
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Plan:
    """How the gateway cuts a table: the answer to the first request, the same for every task of a DataFrame."""

    table: str
    request: str
    parts: int
    rows: int | None
    """None where a rule of the permit hides some."""
    streams: int
    """Queries the data permit lets one person run at once."""
    encoded_schema: bytes
    partial: str | None = None
    """JSON of what each part is to add up; None: rows."""

    @property
    def schema(self) -> pyarrow.Schema:
        import pyarrow

        return pyarrow.ipc.read_schema(pyarrow.py_buffer(self.encoded_schema))


def make_plan(request: Mapping[str, Any], partial: str | None = None) -> Plan:
    """Ask the gateway how it would cut a table; nothing is read. Raises EnclaveError."""
    answer = call_action("enclave.partitions", {**request, "tickets": []})
    schema = base64.b64decode(answer["schema"])
    return Plan(
        request["table"], answer["request"], answer["parts"], answer["rows"], answer["streams"], schema, partial
    )


def read_part(plan: Plan, part: int, request: Mapping[str, Any]) -> pyarrow.Table:
    """The rows of one part (from 1). ``request``: columns, filter or partial. Raises EnclaveError."""
    gives_up_at = time.monotonic() + _BUSY_SECONDS
    pause, tries = 0.2, 0
    while True:
        try:
            with _stream(plan.streams):
                return _redeem(_ask(plan, part, request))
        except Exception as error:
            sentence = str(error) if isinstance(error, EnclaveError) else as_sentence(error)
            is_busy = _BUSY.search(sentence) is not None and time.monotonic() < gives_up_at
            tries += not is_busy
            if not is_busy and (tries >= _TRIES or not is_worth_another_try(error)):
                raise EnclaveError(sentence) from None
        time.sleep(pause)  # other processes of the same person hold the streams, or a connection is made anew
        pause = min(2 * pause, _LONGEST_PAUSE)


def _ask(plan: Plan, part: int, request: Mapping[str, Any]) -> bytes:
    named = {"table": plan.table, "parts": plan.parts, "tickets": [part], "request": plan.request}
    (ticket,) = call_action("enclave.partitions", {**request, **named})["tickets"]
    return base64.b64decode(ticket["ticket"])


def _redeem(ticket: bytes) -> pyarrow.Table:
    import pyarrow.flight as flight

    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {read_token()}".encode())])
    with flight.connect(gateway_address()) as client:
        return client.do_get(flight.Ticket(ticket), options).read_all()


class _Streams:
    """As many reads at once in this process as the data permit has streams: more would only be refused."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: threading.BoundedSemaphore | None = None

    def limit(self, streams: int) -> threading.BoundedSemaphore:
        with self._lock:
            if self._free is None:
                self._free = threading.BoundedSemaphore(streams)
            return self._free


_streams = _Streams()


@contextlib.contextmanager
def _stream(streams: int) -> Iterator[None]:
    with _streams.limit(streams):
        yield

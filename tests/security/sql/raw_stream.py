"""One query as raw Flight calls, so that a test can stop between any two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from adbc_driver_manager import Error
from pyarrow import flight

from enclave.gateway import flightsql as fs
from enclave.gateway.protobuf_wire import field_bytes

FAILURES = (flight.FlightError, pa.ArrowException, OSError, Error)
"""What clients raise when a stream ends with an error."""


@dataclass
class Stream:
    """One raw Flight stream; ``read`` reads to the end."""

    gateway: Any
    sql: str
    token: str | None = None
    reader: Any = None
    rows: int = 0

    def __post_init__(self) -> None:
        token = self.token or self.gateway.token()
        self._options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())], timeout=60)
        self.client = flight.connect(f"grpc+unix://{self.gateway.socket()}")

    def open(self) -> None:
        command = fs.pack_any("CommandStatementQuery", field_bytes(1, self.sql))
        info = self.client.get_flight_info(flight.FlightDescriptor.for_command(command), self._options)
        self.reader = self.client.do_get(info.endpoints[0].ticket, self._options)
        self.reader.schema  # noqa: B018 - waits for the schema

    def read(self, at_most: int | None = None) -> None:
        while at_most is None or self.rows < at_most:
            try:
                self.rows += self.reader.read_chunk().data.num_rows
            except StopIteration:
                return

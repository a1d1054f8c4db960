"""What a call's headers say before it is judged: who bears which token, and how the client wants its answer.

Nothing is admitted here but the handshake, which has no other place for it; every call is judged by ``admission``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyarrow import flight

from enclave.gateway.flight_errors import as_flight_errors

_HEADER = "authorization"
_COLUMNS_HEADER = "enclave-columns"
_PARTITIONS_HEADER = "enclave-partitions"


class Bearer(flight.ServerMiddleware):  # type: ignore[misc]
    """One call's headers: the bearer's text, whether columns are wanted at once, parts asked for."""

    def __init__(self, value: str | None, wants_columns: bool, parts: str | None) -> None:
        self.value = value
        self.wants_columns = wants_columns
        self.parts = parts


class BearerFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Reads the header; a handshake, which has no other place for it, is admitted or refused here."""

    def __init__(self, admit: Callable[[str | None], object]) -> None:
        super().__init__()
        self._admit = admit

    def start_call(self, info: Any, headers: dict[str, list[Any]]) -> Bearer:
        values = headers.get(_HEADER, [])
        found = values[0] if len(values) == 1 else None
        text = found.decode("ascii", "replace") if isinstance(found, bytes) else found
        if info.method == flight.FlightMethod.HANDSHAKE:
            with as_flight_errors():
                self._admit(text)
        parts = headers.get(_PARTITIONS_HEADER, [])
        return Bearer(text, "later" not in headers.get(_COLUMNS_HEADER, []), str(parts[0]) if parts else None)


class OpenHandshake(flight.ServerAuthHandler):  # type: ignore[misc]
    """JDBC begins with a handshake. It adds nothing: the bearer header is judged at every call."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        outgoing.write(b"")

    def is_valid(self, token: bytes) -> bytes:
        return b""

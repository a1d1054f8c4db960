"""Flight SQL messages as frozen values: what a client may send (commands, action bodies) and what it gets back.

Contract: ``parse_command`` turns descriptor or ticket bytes into one of the ``Command`` classes or raises WireError;
names it does not know become ``Unsupported``. Field numbers follow FlightSql.proto (Apache Arrow, format/).
Non-goals: transactions, savepoints, Substrait, bulk ingest – recognised, so that the refusal can name them.
"""

from __future__ import annotations

from dataclasses import dataclass

from enclave.gateway.protobuf_wire import (
    MOST_FIELDS,
    WireError,
    decode_varint,
    field_bytes,
    field_int,
    last_bytes,
    last_text,
    parse_fields,
    texts,
)

_PREFIX = "type.googleapis.com/arrow.flight.protocol.sql."
_FLIGHT_PREFIX = "type.googleapis.com/arrow.flight.protocol."
_LONGEST_NAME = 60
"""Characters; what is longer is none of ours, and what we do not know is repeated in its refusal."""


@dataclass(frozen=True)
class StatementQuery:
    """CommandStatementQuery: run this text."""

    query: str


@dataclass(frozen=True)
class PreparedQuery:
    """CommandPreparedStatementQuery: run what was prepared under this handle."""

    handle: bytes


@dataclass(frozen=True)
class StatementTicket:
    """TicketStatementQuery: the opaque handle we gave out in GetFlightInfo."""

    handle: bytes


@dataclass(frozen=True)
class GetCatalogs:
    """CommandGetCatalogs."""


@dataclass(frozen=True)
class GetSchemas:
    """CommandGetDbSchemas; patterns are SQL LIKE, None means any."""

    catalog: str | None = None
    schema_pattern: str | None = None


@dataclass(frozen=True)
class GetTables:
    """CommandGetTables."""

    catalog: str | None = None
    schema_pattern: str | None = None
    table_pattern: str | None = None
    table_types: tuple[str, ...] = ()
    include_schema: bool = False


@dataclass(frozen=True)
class GetTableTypes:
    """CommandGetTableTypes."""


@dataclass(frozen=True)
class GetSqlInfo:
    """CommandGetSqlInfo; no codes means all."""

    codes: tuple[int, ...] = ()


@dataclass(frozen=True)
class GetKeys:
    """Primary, exported, imported keys or cross reference: an extract has none."""

    kind: str


@dataclass(frozen=True)
class GetTypeInfo:
    """CommandGetXdbcTypeInfo; ``number`` is an XdbcDataType, None means all."""

    number: int | None = None


@dataclass(frozen=True)
class Unsupported:
    """A command we know or do not know, and do not serve. ``name`` is safe to show."""

    name: str


Command = (
    StatementQuery
    | PreparedQuery
    | StatementTicket
    | GetCatalogs
    | GetSchemas
    | GetTables
    | GetTableTypes
    | GetSqlInfo
    | GetKeys
    | GetTypeInfo
    | Unsupported
)


def unpack_any(data: bytes) -> tuple[str, bytes]:
    """Short message name and body of a google.protobuf.Any; raises WireError for other senders' types."""
    fields = parse_fields(data)
    url = last_text(fields, 1) or ""
    if not url.startswith(_FLIGHT_PREFIX):
        raise WireError("expected a Flight SQL command, found something else; use a Flight SQL client")
    return url.rsplit(".", 1)[-1][:_LONGEST_NAME], last_bytes(fields, 2) or b""


def pack_any(name: str, body: bytes) -> bytes:
    """A Flight SQL message inside an Any."""
    return field_bytes(1, _PREFIX + name) + field_bytes(2, body)


def parse_command(data: bytes) -> Command:
    """What a descriptor's command or a ticket asks for. Raises WireError."""
    name, body = unpack_any(data)
    fields = parse_fields(body)
    match name:
        case "CommandStatementQuery":
            return StatementQuery(last_text(fields, 1) or "")
        case "CommandPreparedStatementQuery":
            return PreparedQuery(last_bytes(fields, 1) or b"")
        case "TicketStatementQuery":
            return StatementTicket(last_bytes(fields, 1) or b"")
        case "CommandGetCatalogs":
            return GetCatalogs()
        case "CommandGetDbSchemas":
            return GetSchemas(last_text(fields, 1), last_text(fields, 2))
        case "CommandGetTables":
            wants_schema = any(number == 5 and value == 1 for number, value in fields)
            patterns = (last_text(fields, 1), last_text(fields, 2), last_text(fields, 3))
            return GetTables(*patterns, texts(fields, 4), wants_schema)
        case "CommandGetTableTypes":
            return GetTableTypes()
        case "CommandGetSqlInfo":
            return GetSqlInfo(_codes([value for number, value in fields if number == 1]))
        case "CommandGetPrimaryKeys" | "CommandGetExportedKeys" | "CommandGetImportedKeys" | "CommandGetCrossReference":
            return GetKeys(name)
        case "CommandGetXdbcTypeInfo":
            asked = [value for number, value in fields if number == 1 and isinstance(value, int)]
            return GetTypeInfo(_signed32(asked[-1]) if asked else None)
        case _:
            return Unsupported(name)


def _signed32(value: int) -> int:
    """An int32 as protobuf sends it: negative numbers fill 64 bits."""
    low = value & 0xFFFF_FFFF
    return low - (1 << 32) if low >> 31 else low


def _codes(values: list[int | bytes]) -> tuple[int, ...]:
    """Repeated uint32: clients send it packed or one by one."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        offset = 0
        while offset < len(value):
            code, offset = decode_varint(value, offset)
            found.append(code)
            if len(found) > MOST_FIELDS:
                raise WireError(f"expected at most {MOST_FIELDS} codes, found more")
    return tuple(found)


def statement_ticket(handle: bytes) -> bytes:
    """Ticket bytes that carry our opaque handle and nothing else."""
    return pack_any("TicketStatementQuery", field_bytes(1, handle))


def parse_create_prepared(body: bytes) -> str:
    """SQL of an ActionCreatePreparedStatementRequest. Raises WireError."""
    name, content = unpack_any(body)
    if name != "ActionCreatePreparedStatementRequest":
        raise WireError(f"expected ActionCreatePreparedStatementRequest, found {name}")
    fields = parse_fields(content)
    if last_bytes(fields, 2):
        raise WireError("expected no transaction: the extract is read-only, turn transactions off")
    return last_text(fields, 1) or ""


def create_prepared_result(handle: bytes, dataset_schema: bytes = b"", parameter_schema: bytes = b"") -> bytes:
    """ActionCreatePreparedStatementResult; empty schemas mean "not known before it runs"."""
    body = field_bytes(1, handle)
    if dataset_schema:
        body += field_bytes(2, dataset_schema)
    if parameter_schema:
        body += field_bytes(3, parameter_schema)
    return pack_any("ActionCreatePreparedStatementResult", body)


def parse_close_prepared(body: bytes) -> bytes:
    """Handle of an ActionClosePreparedStatementRequest."""
    return last_bytes(parse_fields(unpack_any(body)[1]), 1) or b""


def bound_parameters_result(handle: bytes) -> bytes:
    """DoPutPreparedStatementResult: the handle stays the same."""
    return field_bytes(1, handle)


def parse_cancel(body: bytes) -> bytes:
    """Ticket bytes of the FlightInfo inside a CancelFlightInfoRequest (or an ActionCancelQueryRequest)."""
    fields = parse_fields(body)
    info = last_bytes(fields, 1) or b""
    if info.startswith(b"type.googleapis.com"):
        info = last_bytes(parse_fields(unpack_any(body)[1]), 1) or b""
    endpoint = last_bytes(parse_fields(info), 3) or b""
    ticket = last_bytes(parse_fields(endpoint), 1) or b""
    return last_bytes(parse_fields(ticket), 1) or b""


def ticket_handle(ticket: bytes) -> bytes:
    """The handle inside a statement's ticket; empty for anything else. Raises WireError."""
    match parse_command(ticket):
        case StatementTicket(handle) | PreparedQuery(handle):
            return handle
        case _:
            return b""


def cancel_result(action: str, cancelled: bool) -> bytes:
    """Answer to CancelFlightInfo, or to the older CancelQuery, which packs it: 1 cancelled, 3 not cancellable."""
    body = field_int(1, 1 if cancelled else 3)
    return pack_any("ActionCancelQueryResult", body) if action == "CancelQuery" else body


def session_closed() -> bytes:
    """CloseSessionResult with the status CLOSED."""
    return field_int(1, 1)

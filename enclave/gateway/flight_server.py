"""Arrow Flight SQL on one unix socket. Every call: header → admission → gate → answer; nothing here executes SQL.

Contract: works with unmodified Flight SQL clients (``adbc_driver_flightsql``): statements, prepared statements with one
row of parameters, catalogue commands, cancel. Refused with a sentence: updates, ingest, transactions, Substrait.
A prepared statement carries no dataset schema: binding happens in the worker after an intent, and would double the
records and cost of every query. Who wants a schema without rows asks with GetSchema, which is recorded.
Tickets are random handles, never SQL, and open only at this socket for the same person.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import flight

from enclave.gateway import flightsql as fs
from enclave.gateway.admission import Caller, Door
from enclave.gateway.flight_errors import as_flight_errors
from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.metadata import MetadataCommand, metadata_schema, metadata_table
from enclave.gateway.relay import Relay
from enclave.gateway.service import GatewayService
from enclave.gateway.statements import Prepared, StatementStore
from enclave.policy import PolicyAction

_HEADER = "authorization"
_MAXIMUM_PARAMETER_BYTES = 1 << 20
_NOT_SERVED = (
    "The extract is read-only: {name} is not possible. Query with SELECT, and keep results as files in your workspace."
)
_ACTIONS = {
    "CreatePreparedStatement": "Prepare a query.",
    "ClosePreparedStatement": "Forget a prepared query.",
    "CancelFlightInfo": "Stop a running query.",
    "CloseSession": "End of a connection.",
    "enclave.tables": "The extract's tables as JSON.",
    "enclave.whoami": "Whom the token stands for, as JSON.",
    "enclave.request_release": 'Ask for a release: {"files", "title", "context"}.',
}


class _Bearer(flight.ServerMiddleware):  # type: ignore[misc]
    def __init__(self, value: str | None) -> None:
        self.value = value


class _BearerFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def start_call(self, info: Any, headers: dict[str, list[Any]]) -> _Bearer:
        values = headers.get(_HEADER, [])
        found = values[0] if len(values) == 1 else None
        return _Bearer(found.decode("ascii", "replace") if isinstance(found, bytes) else found)


class GatewayFlightServer(flight.FlightServerBase):  # type: ignore[misc]
    """Listens as soon as it is constructed; ``shutdown`` waits for running calls."""

    def __init__(self, door: Door, service: GatewayService) -> None:
        location = flight.Location.for_grpc_unix(str(door.socket_path))
        super().__init__(location, middleware={"bearer": _BearerFactory()})
        self._door = door
        self._service = service
        self._statements = StatementStore()

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        with as_flight_errors():
            command = fs.parse_command(descriptor.command or b"")
            caller = self._admit(context, _action_for(command))
            match command:
                case fs.StatementQuery(query):
                    self._service.examine(self._door, caller, query)
                    ticket = fs.statement_ticket(self._statements.add(caller.person.id, query))
                case fs.PreparedQuery(handle):
                    self._statement(handle, caller)
                    ticket = descriptor.command
                case fs.StatementTicket() | fs.Unsupported():
                    raise self._not_served(caller, command)
                case _:
                    return _info(metadata_schema(command), descriptor, descriptor.command)
            return _info(None, descriptor, ticket)

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        with as_flight_errors():
            command = fs.parse_command(descriptor.command or b"")
            caller = self._admit(context, _action_for(command))
            match command:
                case fs.StatementQuery(query):
                    statement = Prepared(caller.person.id, query, 0.0)
                case fs.PreparedQuery(handle):
                    statement = self._statement(handle, caller)
                case fs.StatementTicket() | fs.Unsupported():
                    raise self._not_served(caller, command)
                case _:
                    return flight.SchemaResult(metadata_schema(command))
            found = self._service.query_schema(self._door, caller, statement, context.is_cancelled)
            return flight.SchemaResult(found)

    def do_get(self, context: Any, ticket: Any) -> Any:
        with as_flight_errors():
            command = fs.parse_command(ticket.ticket)
            caller = self._admit(context, _action_for(command))
            match command:
                case fs.StatementTicket(handle) | fs.PreparedQuery(handle):
                    statement = self._statement(handle, caller)
                    schema, relay = self._service.start_query(
                        self._door, caller, ticket.ticket, statement, context.is_cancelled
                    )
                    return flight.GeneratorStream(schema, _released(relay))
                case fs.StatementQuery() | fs.Unsupported():
                    raise self._not_served(caller, command)
                case _:
                    return flight.RecordBatchStream(self._metadata(caller, command))

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        with as_flight_errors():
            command = fs.parse_command(descriptor.command or b"")
            caller = self._admit(context, PolicyAction.QUERY)
            if not isinstance(command, fs.PreparedQuery):
                raise self._not_served(caller, command)
            self._statement(command.handle, caller)
            self._statements.bind(command.handle, _one_row(reader))
            writer.write(pa.py_buffer(fs.bound_parameters_result(command.handle)))

    def do_action(self, context: Any, action: Any) -> list[bytes]:
        with as_flight_errors():
            return [self._act(context, action.type, action.body.to_pybytes())]

    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        return list(_ACTIONS.items())

    def list_flights(self, context: Any, criteria: bytes) -> list[Any]:
        with as_flight_errors():
            self._admit(context, PolicyAction.LIST_TABLES)
            return []

    def _act(self, context: Any, name: str, body: bytes) -> bytes:
        match name:
            case "CreatePreparedStatement":
                caller = self._admit(context, PolicyAction.QUERY)
                query = fs.parse_create_prepared(body)
                self._service.examine(self._door, caller, query)
                return fs.create_prepared_result(self._statements.add(caller.person.id, query))
            case "ClosePreparedStatement":
                caller = self._admit(context, PolicyAction.QUERY)
                self._statements.forget(fs.parse_close_prepared(body), caller.person.id)
                return b""
            case "CancelFlightInfo" | "CancelQuery":
                self._admit(context, PolicyAction.QUERY)
                return fs.cancel_result(self._service.cancel(fs.parse_cancel(body)))
            case "CloseSession":
                return fs.session_closed()  # nothing is kept per connection, so there is nothing to check or close
            case "enclave.tables":
                return json.dumps(self._service.tables(self._admit(context, PolicyAction.LIST_TABLES))).encode()
            case "enclave.whoami":
                return json.dumps(self._service.whoami(self._admit(context, PolicyAction.LIST_TABLES))).encode()
            case "enclave.request_release":
                caller = self._admit(context, PolicyAction.REQUEST_RELEASE)
                return json.dumps(self._service.request_release(caller, body)).encode()
            case _:
                caller = self._admit(context, PolicyAction.QUERY)
                raise self._not_served(caller, fs.Unsupported(name[:60]))

    def _admit(self, context: Any, action: PolicyAction) -> Caller:
        bearer = context.get_middleware("bearer")
        return self._service.admit(self._door, bearer.value if bearer else None, action)

    def _statement(self, handle: bytes, caller: Caller) -> Prepared:
        found = self._statements.find(handle, caller.person.id)
        if found is None:
            raise StatementRefusedError("handle", "This prepared statement is not known any more. Prepare it again.")
        return found

    def _metadata(self, caller: Caller, command: MetadataCommand) -> pa.Table:
        needs_schemas = isinstance(command, fs.GetTables) and command.include_schema
        schemas = self._service.table_schemas(caller) if needs_schemas else {}
        return metadata_table(command, caller.files.manifest, schemas)

    def _not_served(self, caller: Caller, command: fs.Command) -> StatementRefusedError:
        name = command.name if isinstance(command, fs.Unsupported) else type(command).__name__
        return self._service.refuse(self._door, caller, "not-served", _NOT_SERVED.format(name=name))


def _action_for(command: fs.Command) -> PolicyAction:
    runs = (fs.StatementQuery, fs.PreparedQuery, fs.StatementTicket, fs.Unsupported)
    return PolicyAction.QUERY if isinstance(command, runs) else PolicyAction.LIST_TABLES


def _info(schema: pa.Schema | None, descriptor: Any, ticket: bytes) -> Any:
    endpoint = flight.FlightEndpoint(ticket, [])  # no location: this same socket
    return flight.FlightInfo(schema, descriptor, [endpoint], -1, -1)


def _released(relay: Relay) -> Iterator[pa.RecordBatch]:
    """The relay's batches with its errors translated; when Flight drops this, the relay is closed."""
    while True:
        try:
            with as_flight_errors():
                batch = next(relay)
        except StopIteration:
            return
        yield batch


def _one_row(reader: Any) -> pa.RecordBatch:
    """The one row of parameters a query takes."""
    rows: list[pa.RecordBatch] = []
    for chunk in reader:
        rows.append(chunk.data)
        if sum(batch.num_rows for batch in rows) > 1:
            raise StatementRefusedError(
                "parameters", "Expected one row of parameters, found more. Run them one by one."
            )
    filled = [batch for batch in rows if batch.num_rows == 1]
    if not filled:
        raise StatementRefusedError(
            "parameters", "Expected one row of parameters, found none. Bind a value for each ?."
        )
    if filled[0].nbytes > _MAXIMUM_PARAMETER_BYTES:
        raise StatementRefusedError("parameters", "Expected at most 1 MiB of parameters, found more. Bind less.")
    return filled[0]

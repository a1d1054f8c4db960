"""Arrow Flight SQL on one unix socket or TLS port. Every call: header → admission → gate → answer; no SQL runs here.

Contract: works with unmodified Flight SQL clients (``adbc_driver_flightsql``): statements, prepared statements with one
row of parameters, catalogue commands, cancel. Refused with a sentence: updates, ingest, transactions, Substrait.
Preparing binds the statement in the worker, after an intent with the purpose "schema", because JDBC and
``adbc_execute_schema`` read the columns from there; the answer is remembered per person, so a statement pays once. A
client that does not want them says so with the header ``enclave-columns: later``.
Over mutual TLS there is no handshake: pyarrow tells the name in the client's certificate only where none is set up.
Tickets are random handles, never SQL, and open only at this socket for the same person. One-time tickets for parts of a
table (header ``enclave-partitions: N``, action ``enclave.partitions``) open at every replica: ``partitions``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import flight

from enclave.gateway import flightsql as fs
from enclave.gateway.admission import Caller, Door
from enclave.gateway.direct_query import is_direct, parse_direct
from enclave.gateway.flight_errors import as_flight_errors, translate
from enclave.gateway.flight_headers import BearerFactory, OpenHandshake
from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.metadata import MetadataCommand, metadata_schema, metadata_table
from enclave.gateway.parameters import one_row
from enclave.gateway.partitions import Partitions
from enclave.gateway.protobuf_wire import check_size
from enclave.gateway.relay import Relay
from enclave.gateway.service import GatewayService
from enclave.gateway.statements import Prepared, StatementStore
from enclave.gateway.tickets import is_ticket
from enclave.gateway.tls import TcpListener
from enclave.policy import PolicyAction

_WRITTEN_AS = pa.ipc.IpcWriteOptions()
"""The usual ones; without them pyarrow asks the environment at every answer."""
_NOT_SERVED = (
    "The extract is read-only: {name} is not possible. Query with SELECT, and keep results as files in your workspace."
)
_ACTIONS = {
    "CreatePreparedStatement": "Prepare a query.",
    "ClosePreparedStatement": "Forget a prepared query.",
    "CancelFlightInfo": "Stop a running query.",
    "CancelQuery": "Stop a running query (older clients).",
    "CloseSession": "End of a connection.",
    "enclave.cancel_query": "Stop a query: its id from its ticket, or from enclave.queries.",
    "enclave.partitions": 'Tickets for parts of a table: {"table", "columns", "filter", "parts", "partial"}.',
    "enclave.queries": "Your own running and recent queries as JSON.",
    "enclave.limits": "What the data permit allows and what is left of today, as JSON.",
    "enclave.check_outbox": 'The disclosure checks over your outbox as it is now: {"language"}.',
    "enclave.tables": "The extract's tables as JSON.",
    "enclave.whoami": "Whom the token stands for, as JSON.",
    "enclave.request_release": 'Ask for a release: {"files", "title", "context"}, perhaps {"follows"}.',
}


class GatewayFlightServer(flight.FlightServerBase):  # type: ignore[misc]
    """Listens as soon as it is constructed; ``shutdown`` waits for running calls."""

    def __init__(
        self, door: Door, service: GatewayService, partitions: Partitions, listener: TcpListener | None = None
    ) -> None:
        self._door = door
        self._service = service
        self._partitions = partitions
        self._statements = StatementStore()
        bearer = BearerFactory(lambda value: service.admit(door, value, PolicyAction.LIST_TABLES))
        handshake = None if door.asks_certificate else OpenHandshake()
        super().__init__(**_where(door, listener), auth_handler=handshake, middleware={"bearer": bearer})

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        with as_flight_errors():
            command = fs.parse_command(descriptor.command or b"")
            caller = self._admit(context, _action_for(command))
            match command:
                case fs.StatementQuery(query):
                    self._service.examine(self._door, caller, query)
                    ticket = fs.statement_ticket(self._statements.add(caller.person.id, query))
                case fs.PreparedQuery(handle):
                    query, ticket = self._statement(handle, caller).sql, descriptor.command
                case fs.StatementTicket() | fs.Unsupported():
                    raise self._not_served(caller, command)
                case _:
                    return _info(metadata_schema(command), descriptor, descriptor.command)
            columns = self._service.known_columns(caller, query)
            parts = self._endpoints(context, caller, query)
            if parts is None:
                return _info(columns, descriptor, ticket)
            return _info(columns, descriptor, *parts, locations=self._door.locations)

    def _endpoints(self, context: Any, caller: Caller, query: str) -> list[bytes] | None:
        """One-time tickets, when the client asked for parts and the statement can be run in parts."""
        bearer = context.get_middleware("bearer")
        if bearer is None or bearer.parts is None:
            return None
        return self._partitions.endpoints(self._door, caller, query, bearer.parts)

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        with as_flight_errors():
            command = fs.parse_command(descriptor.command or b"")
            caller = self._admit(context, _action_for(command))
            match command:
                case fs.StatementQuery(query):
                    pass
                case fs.PreparedQuery(handle):
                    query = self._statement(handle, caller).sql
                case fs.StatementTicket() | fs.Unsupported():
                    raise self._not_served(caller, command)
                case _:
                    return flight.SchemaResult(metadata_schema(command))
            found = self._service.describe(self._door, caller, query, context.is_cancelled)
            return flight.SchemaResult(found.columns)

    def do_get(self, context: Any, ticket: Any) -> Any:
        with as_flight_errors():
            if is_direct(ticket.ticket):
                caller = self._admit(context, PolicyAction.QUERY)
                query = parse_direct(ticket.ticket)
                statement = Prepared(caller.person.id, query.query, 0.0, query.parameters)
                return self._stream(context, caller, _direct_key(caller, query.id), statement)
            if is_ticket(ticket.ticket):
                caller = self._admit(context, PolicyAction.QUERY)
                statement = self._partitions.redeem(self._door, caller, ticket.ticket)
                return self._stream(context, caller, _direct_key(caller, ticket.ticket), statement)
            command = fs.parse_command(ticket.ticket)
            caller = self._admit(context, _action_for(command))
            match command:
                case fs.StatementTicket(handle) | fs.PreparedQuery(handle):
                    return self._stream(context, caller, ticket.ticket, self._statement(handle, caller))
                case fs.StatementQuery() | fs.Unsupported():
                    raise self._not_served(caller, command)
                case _:
                    return flight.RecordBatchStream(self._metadata(caller, command))

    def _stream(self, context: Any, caller: Caller, running_as: bytes, statement: Prepared) -> Any:
        schema, relay = self._service.start_query(self._door, caller, running_as, statement, context.is_cancelled)
        return flight.GeneratorStream(schema, _released(relay), _WRITTEN_AS)

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        with as_flight_errors():
            command = fs.parse_command(descriptor.command or b"")
            caller = self._admit(context, PolicyAction.QUERY)
            if not isinstance(command, fs.PreparedQuery):
                raise self._not_served(caller, command)
            self._statement(command.handle, caller)
            self._statements.bind(command.handle, one_row(reader))
            writer.write(pa.py_buffer(fs.bound_parameters_result(command.handle)))

    def do_action(self, context: Any, action: Any) -> list[bytes]:
        with as_flight_errors():
            check_size(action.body.size)
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
                return self._prepare(context, caller, fs.parse_create_prepared(body))
            case "ClosePreparedStatement":
                caller = self._admit(context, PolicyAction.QUERY)
                self._statements.forget(fs.parse_close_prepared(body), caller.person.id)
                return b""
            case "CancelFlightInfo" | "CancelQuery":
                caller = self._admit(context, PolicyAction.QUERY)
                return fs.cancel_result(name, self._cancel_ticket(caller, fs.parse_cancel(body)))
            case "enclave.cancel_query":
                caller = self._admit(context, PolicyAction.QUERY)
                return json.dumps({"cancelled": self._cancel(caller, body)}).encode()
            case "enclave.queries":
                return json.dumps(self._service.queries(self._admit(context, PolicyAction.QUERY))).encode()
            case "enclave.limits":
                return json.dumps(self._service.limits(self._admit(context, PolicyAction.LIST_TABLES))).encode()
            case "enclave.check_outbox":
                caller = self._admit(context, PolicyAction.REQUEST_RELEASE)
                return json.dumps(self._service.check_outbox(self._door, caller, body)).encode()
            case "CloseSession":
                return fs.session_closed()  # nothing is kept per connection, so there is nothing to check or close
            case "enclave.partitions":
                caller = self._admit(context, PolicyAction.QUERY)
                return self._partitions.answer(self._door, caller, body, context.is_cancelled)
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

    def _cancel_ticket(self, caller: Caller, ticket: bytes) -> bool:
        if is_ticket(ticket):
            return self._service.cancel(_direct_key(caller, ticket))
        is_own = self._statements.find(fs.ticket_handle(ticket), caller.person.id) is not None
        return is_own and self._service.cancel(ticket)

    def _cancel(self, caller: Caller, query_id: bytes) -> bool:
        return self._service.cancel(_direct_key(caller, query_id)) or self._service.cancel_own(
            caller, query_id.decode("ascii", "replace")
        )

    def _prepare(self, context: Any, caller: Caller, query: str) -> bytes:
        bearer = context.get_middleware("bearer")
        if bearer is not None and not bearer.wants_columns:
            self._service.examine(self._door, caller, query)
            return fs.create_prepared_result(self._statements.add(caller.person.id, query))
        found = self._service.describe(self._door, caller, query, context.is_cancelled)
        handle = self._statements.add(caller.person.id, query)
        columns, parameters = (schema.serialize().to_pybytes() for schema in (found.columns, found.parameters))
        return fs.create_prepared_result(handle, columns, parameters)

    def _admit(self, context: Any, action: PolicyAction) -> Caller:
        bearer = context.get_middleware("bearer")
        peer = context.peer_identity().decode("utf-8", "replace") if self._door.asks_certificate else ""
        return self._service.admit(self._door, bearer.value if bearer else None, action, peer)

    def _statement(self, handle: bytes, caller: Caller) -> Prepared:
        found = self._statements.find(handle, caller.person.id)
        if found is None:
            raise StatementRefusedError("handle", "This prepared statement is not known any more. Prepare it again.")
        return found

    def _metadata(self, caller: Caller, command: MetadataCommand) -> pa.Table:
        needs_schemas = isinstance(command, fs.GetTables) and command.include_schema
        schemas = self._service.table_schemas(caller) if needs_schemas else {}
        return metadata_table(command, caller.manifest, schemas)

    def _not_served(self, caller: Caller, command: fs.Command) -> StatementRefusedError:
        name = command.name if isinstance(command, fs.Unsupported) else type(command).__name__
        return self._service.refuse(self._door, caller, "not-served", _NOT_SERVED.format(name=name))


def _where(door: Door, listener: TcpListener | None) -> dict[str, Any]:
    if listener is None:
        return {"location": flight.Location.for_grpc_unix(str(door.socket_path))}
    return {
        "location": flight.Location.for_grpc_tls(listener.host, listener.port),
        "tls_certificates": [(listener.tls.certificate, listener.tls.key)],
        "verify_client": listener.tls.client_ca is not None,
        "root_certificates": listener.tls.client_ca,
    }


def _action_for(command: fs.Command) -> PolicyAction:
    runs = (fs.StatementQuery, fs.PreparedQuery, fs.StatementTicket, fs.Unsupported)
    return PolicyAction.QUERY if isinstance(command, runs) else PolicyAction.LIST_TABLES


def _direct_key(caller: Caller, query_id: bytes) -> bytes:
    """Under which a query sent in its ticket can be stopped: by its own person, in its own project."""
    return f"{caller.record.id}/{caller.person.id}/".encode() + query_id


def _info(schema: pa.Schema | None, descriptor: Any, *tickets: bytes, locations: tuple[str, ...] = ()) -> Any:
    """No location means this same socket. With several, each part begins with the next, as clients take the first."""
    turns = [number % len(locations) if locations else 0 for number in range(len(tickets))]
    endpoints = [
        flight.FlightEndpoint(ticket, [*locations[turn:], *locations[:turn]])
        for ticket, turn in zip(tickets, turns, strict=True)
    ]
    return flight.FlightInfo(schema, descriptor, endpoints, -1, -1)


def _released(relay: Relay) -> Iterator[pa.RecordBatch]:
    """The relay's batches with its errors translated; when Flight drops this, the relay is closed."""
    try:
        while True:
            try:
                batch = next(relay)
            except StopIteration:
                return
            except Exception as error:
                raise translate(error) from None
            yield batch
            del batch
    finally:
        relay.close()

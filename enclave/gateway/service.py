"""What the front's sockets share: admission, gate, workers, recorder – and the steps each call takes with them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from enclave.domain.events import EventType
from enclave.gateway.admission import Admission, Caller, CallRefusedError, Door
from enclave.gateway.canary import check_canary
from enclave.gateway.gate import ExaminedStatement, StatementRefusedError
from enclave.gateway.recording import Recorder
from enclave.gateway.relay import Relay
from enclave.gateway.release import ReleaseClient
from enclave.gateway.statement_gate import StatementGate
from enclave.gateway.statements import Prepared
from enclave.gateway.worker_pool import WorkerPool
from enclave.gateway.worker_stream import QueryFailedError
from enclave.policy import PolicyAction

_REFUSED_AS = {PolicyAction.REQUEST_RELEASE: EventType.OUTPUT_REQUEST_REFUSED}


class GatewayService:
    """One per front; thread-safe. Non-goal: anything of Flight (``flight_server`` translates)."""

    def __init__(self, admission: Admission, recorder: Recorder, workers: WorkerPool, release: ReleaseClient) -> None:
        self._admission = admission
        self._recorder = recorder
        self._workers = workers
        self._release = release
        self._gate = StatementGate()
        self._running: weakref.WeakValueDictionary[bytes, Relay] = weakref.WeakValueDictionary()

    def admit(self, door: Door, authorization: str | None, action: PolicyAction) -> Caller:
        """Who calls; a refusal is recorded, then raised as CallRefusedError."""
        try:
            return self._admission.admit(door, authorization, action)
        except CallRefusedError as error:
            self._recorder.call_refused(door, error, _REFUSED_AS.get(action, EventType.QUERY_REFUSED))
            raise

    def examine(self, door: Door, caller: Caller, sql: str) -> ExaminedStatement:
        """Pass the gate; a refusal is recorded, then raised as StatementRefusedError."""
        parser = self._workers.project(caller.record.id).parser
        characters = caller.files.permit.caps.statement_characters
        try:
            found = self._gate.check(sql, caller.files.table_names, characters, parser, caller.files.person_columns)
            check_canary(caller.claims, sql)
            return found
        except StatementRefusedError as error:
            self._recorder.statement_refused(door, caller, error.rule, error.sentence, sql)
            raise

    def refuse(self, door: Door, caller: Caller, rule: str, sentence: str) -> StatementRefusedError:
        """Record that a command is not served; the caller raises what this returns."""
        self._recorder.statement_refused(door, caller, rule, sentence, "")
        return StatementRefusedError(rule, sentence)

    def start_query(
        self, door: Door, caller: Caller, ticket: bytes, statement: Prepared, is_cancelled: Callable[[], bool]
    ) -> tuple[pa.Schema, Relay]:
        """Gate, intent, worker. Raises StatementRefusedError, QueryFailedError, RecordingFailedError."""
        examined = self.examine(door, caller, statement.sql)
        relay = Relay(door, caller, self._recorder, self._workers.project(caller.record.id), is_cancelled)
        self._running[ticket] = relay
        try:
            return relay.begin(statement, examined), relay
        except QueryFailedError as error:
            if not relay.has_begun:
                self._recorder.statement_refused(door, caller, "streams", error.sentence, statement.sql)
            raise

    def query_schema(
        self, door: Door, caller: Caller, statement: Prepared, is_cancelled: Callable[[], bool]
    ) -> pa.Schema:
        """Schema of a statement's result: bound in the worker, recorded like a query, no rows."""
        examined = self.examine(door, caller, statement.sql)
        relay = Relay(door, caller, self._recorder, self._workers.project(caller.record.id), is_cancelled)
        schema = relay.begin(statement, examined, schema_only=True)
        for _ in relay:
            pass
        return schema

    def cancel(self, ticket: bytes) -> bool:
        """Stop the query that runs for ``ticket``; False when none does."""
        relay = self._running.get(ticket)
        if relay is None:
            return False
        relay.cancel()
        return True

    def table_schemas(self, caller: Caller) -> dict[str, pa.Schema]:
        """Arrow schema of each table of the extract. Raises QueryFailedError."""
        return self._workers.project(caller.record.id).table_schemas(caller.files.folder)

    def request_release(self, caller: Caller, body: bytes) -> dict[str, Any]:
        """Raises ReleaseRefusedError."""
        return self._release.submit(caller.token, body)

    @staticmethod
    def tables(caller: Caller) -> list[dict[str, Any]]:
        """Names, row counts, columns, types and treatments of the extract."""
        return [
            {
                "name": table.name,
                "rows": table.rows,
                "columns": [{"name": c.name, "type": c.type, "treatment": str(c.treatment)} for c in table.columns],
            }
            for table in caller.files.manifest.tables
        ]

    @staticmethod
    def whoami(caller: Caller) -> dict[str, str]:
        """Who the token stands for, in which project, until when."""
        return {
            "username": caller.person.username,
            "project": caller.record.id,
            "expires_on": caller.record.expires_on.isoformat(),
            "title": caller.record.title,
        }

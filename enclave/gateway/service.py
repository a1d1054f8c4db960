"""What the front's sockets share: admission, gate, workers, recorder – and the steps each call takes with them."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa

from enclave.domain.events import EventType
from enclave.gateway.admission import Admission, Caller, CallRefusedError, Door
from enclave.gateway.canary import check_canary
from enclave.gateway.descriptions import (
    EXPLAINED,
    Description,
    DescriptionCache,
    description_key,
    is_lasting,
    split_description,
)
from enclave.gateway.gate import ExaminedStatement, StatementRefusedError
from enclave.gateway.limits import describe_limits
from enclave.gateway.outbox_checks import OutboxChecks
from enclave.gateway.own_queries import OwnQueries
from enclave.gateway.person_worker import PersonWorker, ScratchTable
from enclave.gateway.plan_rule import check_plan
from enclave.gateway.recording import Recorder
from enclave.gateway.relay import Relay
from enclave.gateway.release import ReleaseClient
from enclave.gateway.scratch_names import ScratchNames
from enclave.gateway.standing import Standing
from enclave.gateway.statement_gate import ScratchView, StatementGate
from enclave.gateway.statements import Prepared
from enclave.gateway.usage import DailyUsage
from enclave.gateway.worker_pool import WorkerPool
from enclave.gateway.worker_stream import QueryFailedError
from enclave.policy import PolicyAction

_REFUSED_AS = {PolicyAction.REQUEST_RELEASE: EventType.OUTPUT_REQUEST_REFUSED}


class GatewayService:
    """One per front; thread-safe. Non-goal: anything of Flight (``flight_server`` translates)."""

    def __init__(
        self,
        admission: Admission,
        recorder: Recorder,
        workers: WorkerPool,
        release: ReleaseClient,
        standing: Standing,
        usage: DailyUsage,
    ) -> None:
        self._admission = admission
        self._standing = standing
        self._recorder = recorder
        self._workers = workers
        self._usage = usage
        self._release = release
        self._outbox_checks = OutboxChecks(release)
        self._own_queries = OwnQueries()
        self._gate = StatementGate()
        self._descriptions = DescriptionCache()
        self._running: weakref.WeakValueDictionary[bytes, Relay] = weakref.WeakValueDictionary()

    def admit(self, door: Door, authorization: str | None, action: PolicyAction, peer: str = "") -> Caller:
        """Who calls; a refusal is recorded, then raised as CallRefusedError."""
        try:
            return self._admission.admit(door, authorization, action, peer)
        except CallRefusedError as error:
            self._recorder.call_refused(door, error, _REFUSED_AS.get(action, EventType.QUERY_REFUSED))
            raise

    def examine(self, door: Door, caller: Caller, sql: str, *, is_ours: bool = False) -> ExaminedStatement:
        """Pass the gate; a refusal is recorded, then raised as StatementRefusedError. ``is_ours``: see ``gate``."""
        parser = self._workers.parser(caller.record.id)
        characters = caller.files.permit.caps.statement_characters
        try:
            names, people = caller.files.table_names, caller.files.person_columns
            scratch = self._scratch(caller)
            found = self._gate.check(sql, names, characters, parser, people, scratch, is_ours=is_ours)
            check_canary(caller.claims, sql)
            check_plan(caller.rules, found)
            return found
        except StatementRefusedError as error:
            self._recorder.statement_refused(door, caller, error.rule, error.sentence, sql)
            raise

    def _worker(self, caller: Caller) -> PersonWorker:
        return self._workers.worker(caller.record.id, caller.person.id)

    def _relay(self, door: Door, caller: Caller, is_cancelled: Callable[[], bool]) -> Relay:
        return Relay(door, caller, self._recorder, self._worker(caller), self._usage, is_cancelled)

    def _scratch(self, caller: Caller) -> ScratchView:
        """What the gate asks when a statement needs the person's own names."""
        worker, source = self._worker(caller), caller.source

        def names() -> ScratchNames:
            try:
                return worker.scratch_names(source)
            except QueryFailedError as error:
                raise StatementRefusedError("scratch", error.sentence) from error

        return ScratchView(names, caller.files.manifest.extract_version, caller.rules)

    def scratch_tables(self, caller: Caller) -> list[ScratchTable]:
        """Tables and views the caller keeps, with their columns. Raises QueryFailedError."""
        return self._worker(caller).scratch_tables(caller.source)

    def refuse(self, door: Door, caller: Caller, rule: str, sentence: str) -> StatementRefusedError:
        """Record that a command is not served; the caller raises what this returns."""
        self._recorder.statement_refused(door, caller, rule, sentence, "")
        return StatementRefusedError(rule, sentence)

    def start_query(
        self, door: Door, caller: Caller, ticket: bytes, statement: Prepared, is_cancelled: Callable[[], bool]
    ) -> tuple[pa.Schema, Relay]:
        """Gate, intent, worker. Raises StatementRefusedError, QueryFailedError, RecordingFailedError."""
        examined = _of_part(self.examine(door, caller, statement.sql, is_ours=statement.is_ours), statement)
        relay = self._relay(door, caller, is_cancelled)
        self._running[ticket] = relay
        self._standing.watch(relay, caller)
        own = self._own_queries.add(caller, statement.sql, relay)
        try:
            return relay.begin(statement, examined), relay
        except BaseException as error:
            if not relay.has_begun:
                self._own_queries.forget(caller, own)
                if isinstance(error, QueryFailedError):
                    self._recorder.statement_refused(door, caller, "cap", error.sentence, statement.sql)
            raise

    def describe(self, door: Door, caller: Caller, sql: str, is_cancelled: Callable[[], bool]) -> Description:
        """Columns and parameters of a statement: bound in the worker, recorded like a query, no rows.

        Asked again for the same extract by the same person, the answer is the remembered one and nothing runs.
        """
        examined = self.examine(door, caller, sql)
        if examined.verb == "explain":
            return EXPLAINED
        key = description_key(caller, sql)
        found = self._descriptions.find(key)
        if found is not None:
            return found
        relay = self._relay(door, caller, is_cancelled)
        try:
            schema = relay.begin(Prepared(caller.person.id, sql, 0.0), examined, schema_only=True)
        except QueryFailedError as error:
            if not relay.has_begun:
                self._recorder.statement_refused(door, caller, "cap", error.sentence, sql)
            raise
        for _ in relay:
            pass
        found = split_description(schema)
        if is_lasting(examined):
            self._descriptions.keep(key, found)
        return found

    def known_columns(self, caller: Caller, sql: str) -> pa.Schema | None:
        """Columns of a statement that was described before; None when it was not."""
        found = self._descriptions.find(description_key(caller, sql))
        return found.columns if found else None

    def cancel(self, ticket: bytes) -> bool:
        """Stop the query that runs for ``ticket``; False when none does."""
        relay = self._running.get(ticket)
        if relay is None:
            return False
        relay.cancel()
        return True

    def cancel_own(self, caller: Caller, query_id: str) -> bool:
        """Stop the caller's query that ``queries`` lists under this id; False when it does not run."""
        relay = self._own_queries.find_relay(caller, query_id)
        if relay is None:
            return False
        relay.cancel()
        return True

    def queries(self, caller: Caller) -> list[dict[str, Any]]:
        """The caller's running and recent queries in this project, newest first."""
        return self._own_queries.show(caller)

    def limits(self, caller: Caller) -> dict[str, Any]:
        """What the data permit allows the caller, until when, and what is left of today."""
        return describe_limits(caller, self._usage.sent_today(caller.record.id, caller.person.id))

    def table_schemas(self, caller: Caller) -> dict[str, pa.Schema]:
        """Arrow schema of each table of the extract. Raises QueryFailedError."""
        return self._worker(caller).table_schemas(caller.source)

    def request_release(self, caller: Caller, body: bytes) -> dict[str, Any]:
        """Raises ReleaseRefusedError."""
        return self._release.submit(caller.token, body)

    def check_outbox(self, door: Door, caller: Caller, body: bytes) -> dict[str, Any]:
        """Files of the caller's outbox with findings. Raises CallRefusedError (recorded), ReleaseRefusedError."""
        try:
            return self._outbox_checks.check(caller, body)
        except CallRefusedError as error:
            self._recorder.call_refused(door, error, EventType.OUTPUT_REQUEST_REFUSED)
            raise

    @staticmethod
    def tables(caller: Caller) -> list[dict[str, Any]]:
        """Names, row counts, columns, types and treatments of what the caller may see of the extract.

        Rows are null where a rule hides some: the table's own count would tell how many.
        """
        return [
            {
                "name": table.name,
                "rows": None if caller.rules.hides_rows(table.name) else table.rows,
                "columns": [{"name": c.name, "type": c.type, "treatment": str(c.treatment)} for c in table.columns],
            }
            for table in caller.manifest.tables
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


def _of_part(examined: ExaminedStatement, statement: Prepared) -> ExaminedStatement:
    """Parts of one table differ in two numbers only: with one template they would look to the alerts like a question
    repeated over ever other people. So each part has a template of its own, and is compared with the same part.
    """
    if statement.noted.get("parts", 1) == 1:
        return examined
    own = f"{examined.template_sha256} {statement.noted['part']}/{statement.noted['parts']}"
    return replace(examined, template_sha256=hashlib.sha256(own.encode()).hexdigest())

"""Parts of a table behind one-time tickets: who may have them, what each runs, and what the record of it says.

Two ways in, one ticket: the action ``enclave.partitions``, and Flight SQL's own endpoints for a plain scan when the
client sends the header ``enclave-partitions``. The gate examines what a ticket will run before it is handed out and
again when it is redeemed, because table, permit or gate may have changed. Redeeming is a query of its own: intent,
outcome, caps and daily usage as for any other; its record says which part of how many, and by which request.

A request's id carries a seal (HMAC) over person, project, extract, table and number of parts, so that asking again
for a part of the same needs nothing kept, and an id in a record is one that this gateway gave to this person.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from enclave.domain.manifest import ManifestTable
from enclave.gateway.admission import Caller, Door
from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.partition_request import RULE, PartitionRequest, parse_request
from enclave.gateway.row_ranges import MAXIMUM_PARTS, RowRange, RowSource, cut, find_row_source, ranged_statement
from enclave.gateway.service import GatewayService
from enclave.gateway.statements import Prepared
from enclave.gateway.tickets import RangeTicket, TicketRefusedError, TicketStore

_HEAD = re.compile(r"\s*(?:select|from)\b", re.I)
_REQUEST = re.compile(r"p-[0-9a-f]{16}-[0-9a-f]{16}")
_NUMBER = re.compile(r"[0-9]{1,4}")
_OPEN_AGAIN = "Open the table anew: the extract may have been built again."


class Partitions:
    """One per front; thread-safe."""

    def __init__(self, service: GatewayService, store: TicketStore, secret: str) -> None:
        self._service = service
        self._store = store
        self._secret = secret.encode()

    def answer(self, door: Door, caller: Caller, body: bytes, is_cancelled: Callable[[], bool]) -> bytes:
        """The action: JSON in, JSON out. Refusals are recorded, then raised. Raises QueryFailedError."""
        try:
            wanted = parse_request(body)
            table = _table(caller, wanted.table)
            scan, statement = wanted.scan(table), wanted.statement(table)
        except StatementRefusedError as error:
            raise self._service.refuse(door, caller, error.rule, error.sentence) from None
        if self._service.examine(door, caller, scan).scanned != table.name:
            raise self._refuse(
                door, caller, "Expected a condition on the table's own columns, found more in filter. Simplify it."
            )
        ranges = _ranges(caller, table, wanted.parts)
        request = self._request(door, caller, table, len(ranges), wanted)
        tickets = self._hand_out(door, caller, statement, table, _chosen(ranges, wanted), request)
        return json.dumps(
            {
                "request": request,
                "extract": caller.files.manifest.extract_version,
                "rows": None if caller.rules.hides_rows(table.name) else table.rows,
                "parts": len(ranges),
                "streams": caller.files.permit.caps.streams,
                "schema": None if wanted.request else self._schema(door, caller, statement, is_cancelled),
                "tickets": tickets,
            }
        ).encode()

    def endpoints(self, door: Door, caller: Caller, sql: str, asked: str) -> list[bytes] | None:
        """Tickets for a client's own statement, when it is a plain scan; None: it runs as a whole.

        ``asked``: the header's value. Refusals are recorded, then raised.
        """
        if not _NUMBER.fullmatch(asked) or not 1 <= int(asked) <= MAXIMUM_PARTS:
            raise self._refuse(
                door,
                caller,
                f"Expected a number from 1 to {MAXIMUM_PARTS} in the header enclave-partitions, found something else.",
            )
        scanned = self._service.examine(door, caller, sql).scanned
        if scanned is None or not _HEAD.match(sql):
            return None
        table = _table(caller, scanned)
        ranges = _ranges(caller, table, int(asked))
        request = self._new_request(caller, table, len(ranges))
        tickets = self._hand_out(door, caller, sql, table, ranges, request)
        return [base64.b64decode(ticket["ticket"]) for ticket in tickets]

    def redeem(self, door: Door, caller: Caller, content: bytes) -> Prepared:
        """The statement a ticket stands for, ready to start. A refusal is recorded, then raised."""
        try:
            ticket = self._store.redeem(content, caller.record.id, caller.person.id)
            if ticket.extract != caller.files.manifest.extract_version:
                raise TicketRefusedError("ticket-stale", f"This ticket is for an earlier extract. {_OPEN_AGAIN}")
            statement = _ranged(caller, ticket.statement, _table(caller, ticket.table), ticket.rows)
        except (TicketRefusedError, StatementRefusedError) as error:
            raise self._service.refuse(door, caller, error.rule, error.sentence) from None
        noted: dict[str, str | int] = {
            "part": ticket.rows.part,
            "parts": ticket.rows.parts,
            "handed_out_by": ticket.request,
        }
        return Prepared(caller.person.id, statement, 0.0, noted=noted, is_ours=True)

    def clean(self) -> None:
        """Forget what has expired. Call about once a minute."""
        self._store.clean()

    def _hand_out(
        self,
        door: Door,
        caller: Caller,
        statement: str,
        table: ManifestTable,
        ranges: Sequence[RowRange],
        request: str,
    ) -> list[dict[str, Any]]:
        if ranges:  # the others differ from the first in two numbers
            self._service.examine(door, caller, _ranged(caller, statement, table, ranges[0]), is_ours=True)
        extract = caller.files.manifest.extract_version
        tickets = [RangeTicket(statement, table.name, rows, extract, request) for rows in ranges]
        try:
            opened = self._store.hand_out(caller.record.id, caller.person.id, tickets)
        except TicketRefusedError as error:
            raise self._service.refuse(door, caller, error.rule, error.sentence) from None
        return [
            {"part": rows.part, "low": rows.low, "high": rows.high, "ticket": base64.b64encode(content).decode()}
            for rows, content in zip(ranges, opened, strict=True)
        ]

    def _schema(self, door: Door, caller: Caller, statement: str, is_cancelled: Callable[[], bool]) -> str:
        found = self._service.describe(door, caller, statement, is_cancelled)
        return base64.b64encode(found.columns.serialize().to_pybytes()).decode()

    def _request(self, door: Door, caller: Caller, table: ManifestTable, parts: int, wanted: PartitionRequest) -> str:
        if wanted.request is None:
            return self._new_request(caller, table, parts)
        begin = wanted.request.rpartition("-")[0]
        is_ours = _REQUEST.fullmatch(wanted.request) is not None
        if not is_ours or not hmac.compare_digest(self._seal(caller, table, parts, begin), wanted.request):
            raise self._refuse(
                door,
                caller,
                f"Expected the request of an earlier answer for this table and number of parts. {_OPEN_AGAIN}",
            )
        return wanted.request

    def _new_request(self, caller: Caller, table: ManifestTable, parts: int) -> str:
        return self._seal(caller, table, parts, f"p-{secrets.token_hex(8)}")

    def _seal(self, caller: Caller, table: ManifestTable, parts: int, begin: str) -> str:
        version = caller.files.manifest.extract_version
        sealed = json.dumps([begin, caller.person.id, caller.record.id, version, table.name, parts])
        return f"{begin}-{hmac.new(self._secret, sealed.encode(), hashlib.sha256).hexdigest()[:16]}"

    def _refuse(self, door: Door, caller: Caller, sentence: str) -> StatementRefusedError:
        return self._service.refuse(door, caller, RULE, sentence)


def _table(caller: Caller, name: str) -> ManifestTable:
    for table in caller.manifest.tables:
        if table.name.lower() == name.lower():
            return table
    raise StatementRefusedError(
        RULE, "Expected a table of this project's extract, found another name. enclave_client.tables() lists them."
    )


def _ranges(caller: Caller, table: ManifestTable, parts: int | None) -> list[RowRange]:
    if _source(caller, table) is None or caller.rules.hides_rows(table.name):
        return cut(table.rows, 1, table.rows)  # the number of parts would tell how many rows are hidden
    return cut(table.rows, parts, caller.files.permit.caps.rows)


def _source(caller: Caller, table: ManifestTable) -> RowSource | None:
    return find_row_source(table, is_view=bool(caller.rules.rules))


def _ranged(caller: Caller, statement: str, table: ManifestTable, rows: RowRange) -> str:
    return ranged_statement(statement, table.name, rows, _source(caller, table))


def _chosen(ranges: Sequence[RowRange], wanted: PartitionRequest) -> list[RowRange]:
    if wanted.tickets is None:
        return list(ranges)
    return [rows for rows in ranges if rows.part in wanted.tickets]

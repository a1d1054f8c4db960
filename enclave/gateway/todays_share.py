"""One query's part in what its person is sent today (``usage``), with the caps' sentences as the stream's own error."""

from __future__ import annotations

import structlog

from enclave.domain.permits import QueryCaps
from enclave.gateway.admission import Caller
from enclave.gateway.usage import DailyCapError, DailyUsage
from enclave.gateway.worker_stream import QueryFailedError

_log = structlog.get_logger()


class TodaysShare:
    """``begin`` before the query, ``add`` before each batch leaves, ``end`` after it."""

    def __init__(self, usage: DailyUsage, caller: Caller) -> None:
        self._usage, self._caller = usage, caller

    def begin(self, caps: QueryCaps) -> None:
        """Raises QueryFailedError when nothing is left for today."""
        try:
            self._usage.begin(self._caller.record.id, self._caller.person.id, caps)
        except DailyCapError as error:
            raise QueryFailedError("cap", str(error)) from error

    def add(self, rows: int, size: int, caps: QueryCaps) -> None:
        """Raises QueryFailedError when it does not fit into today any more."""
        try:
            self._usage.add(self._caller.record.id, self._caller.person.id, rows, size, caps)
        except DailyCapError as error:
            raise QueryFailedError("cap", str(error)) from error

    def end(self) -> None:
        """Never raises."""
        try:
            self._usage.end(self._caller.record.id, self._caller.person.id)
        except OSError as error:
            _log.error("usage-not-written", reason=error.strerror)

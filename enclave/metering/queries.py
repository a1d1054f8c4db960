"""How much each project asked, counted in the audit log itself: one ``query:outcome`` is one query.

So the figure is not the gateway's word: whoever holds the log can count the same records (``docs/operations.md`` says
how). An auditor's test queries are left out. Records that were pruned are not counted any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, date, datetime

from audit.index import LogIndex
from enclave.domain.ids import ProjectId
from enclave.domain.usage import Asked, Month
from enclave.tokens import CANARY_WORKSPACE

_COUNTED = "count(*), coalesce(sum(rows), 0), coalesce(sum(bytes), 0), coalesce(sum(duration_ms), 0)"
_BY_DAY = f"""
    SELECT project, CAST("at" AS DATE) AS day, {_COUNTED} FROM records
    WHERE type = 'query:outcome' AND project IS NOT NULL AND workspace IS DISTINCT FROM ? AND "at" >= ? AND "at" < ?
    GROUP BY ALL
"""  # noqa: S608  (a constant of this file)
_EVER = f"""
    SELECT project, {_COUNTED} FROM records
    WHERE type = 'query:outcome' AND project IS NOT NULL AND workspace IS DISTINCT FROM ?
    GROUP BY ALL
"""  # noqa: S608
_OPEN = """
    SELECT count(*) FROM records AS intent WHERE type = 'query:intent' AND "at" >= ? AND NOT EXISTS (
        SELECT 1 FROM records AS outcome
        WHERE outcome.type = 'query:outcome' AND outcome.request_id = intent.request_id AND outcome."at" >= ?)
"""


def asked_by_day(index: LogIndex, month: Month) -> Mapping[ProjectId, Mapping[date, Asked]]:
    """Queries of one month by project and day (UTC)."""
    first, after = (datetime.combine(m.first, datetime.min.time()) for m in (month, month.after))
    found: dict[ProjectId, dict[date, Asked]] = {}
    with closing(index.connection()) as connection:
        for project, day, *counts in connection.execute(_BY_DAY, [CANARY_WORKSPACE, first, after]).fetchall():
            found.setdefault(ProjectId(project), {})[day] = Asked(*map(int, counts))
    return found


def asked_ever(index: LogIndex) -> Mapping[ProjectId, Asked]:
    """All queries in the log by project."""
    with closing(index.connection()) as connection:
        rows = connection.execute(_EVER, [CANARY_WORKSPACE]).fetchall()
    return {ProjectId(project): Asked(*map(int, counts)) for project, *counts in rows}


def count_open_intents(index: LogIndex, since: datetime) -> int:
    """Queries begun since then of which no end is on record."""
    naive = since.astimezone(UTC).replace(tzinfo=None)
    with closing(index.connection()) as connection:
        found = connection.execute(_OPEN, [naive, naive]).fetchone()
    return int(found[0]) if found else 0

"""Read from the log's index what a person asked of a project; see ``egress_review.domain.asked``.

The index is derived from the log and proves nothing; a record that matters is opened by an auditor, with its proof.
"""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from audit.index import LogIndex
from audit.index.mapping import texts
from audit.index.wanted import naive_utc
from egress_review.domain.asked import LISTED, WINDOW, Asked, AskedQuery

_OF_PERSON = 'type = \'query:outcome\' AND actor = ? AND project = ? AND "at" >= ? AND "at" <= ?'
_SMALL = "coalesce(persons BETWEEN 1 AND ?, false) OR coalesce(min_cell BETWEEN 1 AND ?, false)"
_TOTALS = f"SELECT count(*), count(*) FILTER ({_SMALL}) FROM searched WHERE {_OF_PERSON}"  # noqa: S608  (constants)
_NEWEST = (
    'SELECT "index", "at", status, "rows", persons, min_cell, leaf, '  # noqa: S608  (constants)
    f"{_SMALL} AS small FROM records WHERE {_OF_PERSON} "
    'ORDER BY small DESC, "index" DESC LIMIT ?'
)


def find_asked(index: LogIndex, person: str, project: str, until: datetime, minimum: int) -> Asked:
    """Queries of ``person`` (an id of the log) in ``project`` that ended in the 30 days up to ``until`` (aware).

    ``minimum``: counts from 1 to one less are small. Raises ``duckdb.Error`` when the index cannot be read.
    """
    since = until - WINDOW
    of_person = [person, project, naive_utc(since), naive_utc(until)]
    small = [minimum - 1, minimum - 1]
    with closing(index.connection()) as connection:
        total, small_ones = connection.execute(_TOTALS, [*small, *of_person]).fetchall()[0]
        rows = connection.execute(_NEWEST, [*small, *of_person, LISTED]).fetchall()
    return Asked(since, minimum, int(total), int(small_ones), tuple(_query(row) for row in rows))


def _query(row: tuple[Any, ...]) -> AskedQuery:
    number, at, status, rows, persons, least, leaf, small = row
    data = json.loads(leaf).get("data")
    held = data if isinstance(data, dict) else {}
    return AskedQuery(
        index=number,
        at=at.replace(tzinfo=UTC),
        status=status or "",
        rows=rows,
        persons=persons,
        least_count=least,
        columns=tuple(texts(held.get("columns_read")) or ()),
        filters=tuple(texts(held.get("filters")) or ()),
        is_small=bool(small),
    )

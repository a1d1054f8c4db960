"""What a person asked of a project before an output request, as the audit log has it; pure values.

The disclosure checks see the files, and a file says nothing about the group that was cut away before it was written.
The log knows it without being told: for each query how many people stood behind its result and the least count it
showed, where the gateway could tell (``enclave.gateway.populations``). A remark for the reviewer, not a check: a small
group that was looked at may be nowhere in the files, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(days=30)
"""How long before the request queries are looked at."""
LISTED = 20


@dataclass(frozen=True)
class AskedQuery:
    """One query that ended. ``None`` where the record does not say; ``columns`` are ``table.column``, ``filters`` the
    same with an operator and never a value. ``index``: its outcome's record in the log."""

    index: int
    at: datetime
    status: str
    rows: int | None
    persons: int | None
    least_count: int | None
    columns: tuple[str, ...]
    filters: tuple[str, ...]
    is_small: bool
    """Fewer people than the permit's ``minimum_count`` stand behind the result, or it showed such a count."""


@dataclass(frozen=True)
class Asked:
    """All queries of ``WINDOW``: ``total`` of them, ``small`` of those ``is_small``; ``listed`` small ones first."""

    since: datetime
    minimum: int
    total: int
    small: int
    listed: tuple[AskedQuery, ...]

"""When somebody was last at work in a workspace (ADR 20), and whether that is too long ago.

Counts: what the hub has noted, what the edge saw, and a program in a terminal that uses the processor, as the host saw
it (``enclave.workspaces.terminal_work``). A kernel that computes is asked for only before the end: it keeps a workspace
that would end, and does not begin its time anew.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from enclave.workspaces.launch import Places
from enclave.workspaces.limits import has_idled
from enclave.workspaces.services import Partners, is_computing
from enclave.workspaces.terminal_work import last_worked

_EDGE_SECONDS = 5.0
"""How often the edge is asked when somebody was last seen; before an idle end it is asked in any case."""


class Idleness:
    """Of one workspace. ``seen``: as far as is known."""

    def __init__(self, partners: Partners) -> None:
        self.seen: datetime | None = None
        self._partners = partners
        self._asked_at = -_EDGE_SECONDS

    async def is_over(self, places: Places, base_url: str, noted: datetime | None, minutes: float) -> bool:
        """Has nobody used it for ``minutes``? Asks again before it says yes: somebody may have come back a second ago.

        ``noted``: the hub's own note, in UTC.
        """
        await self._ask(places, base_url, noted, _EDGE_SECONDS)
        if not has_idled(self.seen, minutes, datetime.now(UTC)):
            return False
        await self._ask(places, base_url, noted, 0.0)
        if not has_idled(self.seen, minutes, datetime.now(UTC)):
            return False
        return not await is_computing(places.listening_socket, base_url)

    async def _ask(self, places: Places, base_url: str, noted: datetime | None, at_most_every: float) -> None:
        now = time.monotonic()
        if now - self._asked_at < at_most_every:
            return
        self._asked_at = now
        seen = await self._partners.last_seen(base_url)
        known = [moment for moment in (noted, seen, last_worked(places.host)) if moment is not None]
        self.seen = max(known, default=None)

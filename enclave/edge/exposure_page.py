"""``GET <workspace>/enclave/exposure``: the person's own meter as JSON, answered by the edge itself, for the gauge."""

from __future__ import annotations

from aiohttp import web

from enclave.edge.account import Account

EXPOSURE_PAGE = "/enclave/exposure"


def exposure_page(account: Account, archive_days: int | None) -> web.Response:
    """``archive_days``: what is shown is kept for so long (0: as long as the permit says); None: it is only counted."""
    state = account.state()
    budget = account.budget()
    content = {
        "shown_bytes": account.shown.shown_bytes,
        "shown_rows": account.shown.rows,
        "budget_bytes": budget.bytes,
        "budget_rows": budget.rows,
        "state": state,
        "archived": archive_days is not None,
        "archive_days": archive_days,
        "day": account.day.isoformat(),
    }
    return web.json_response(content, headers={"Cache-Control": "no-store"})

"""The log's part of the review page in the reader's language."""

from __future__ import annotations

from typing import Any

from egress_review.actions.ask_log import Background
from enclave.portal.auditing.alerts import row_of


def show_background(background: Background | None) -> dict[str, Any]:
    """Context of ``background.html``; ``asked`` is None when the log could not be searched."""
    if background is None:
        return {"asked": None, "alerts": []}
    return {"asked": background.asked, "alerts": [row_of(alert, {}) for alert in background.alerts]}

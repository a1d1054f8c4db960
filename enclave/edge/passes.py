"""Workspace passes: how the edge knows whose browser it talks to before a byte reaches a workspace (ADR 0004).

The hub, where a person is logged in, sets the cookie ``enclave-pass`` for ``/user/<name>/``; the edge checks it and
never forwards it. So a workspace sees requests of its own researcher only, needs no way to the hub, and cannot show a
page of its making to somebody else under the hub's origin. A pass is an HMAC-SHA256 over name and end, under a key
derived from the secret that hub and edge share.
"""

from __future__ import annotations

import hashlib
import hmac

COOKIE = "enclave-pass"
LIFETIME_SECONDS = 12 * 3600
_RENEW_SECONDS = LIFETIME_SECONDS // 2


def _signature(secret: str, username: str, ends: int) -> str:
    key = hmac.digest(secret.encode(), b"enclave workspace pass v1", hashlib.sha256)
    return hmac.new(key, f"{username}\n{ends}".encode(), hashlib.sha256).hexdigest()


def issue_pass(secret: str, username: str, now: float) -> str:
    """A pass for ``username`` that holds from ``now`` (Unix seconds) for ``LIFETIME_SECONDS``."""
    ends = int(now) + LIFETIME_SECONDS
    return f"{username}.{ends}.{_signature(secret, username, ends)}"


def find_holder(secret: str, value: str, now: float) -> str | None:
    """Whose valid pass this is, or None when it is not one or has ended."""
    username, _, rest = value.partition(".")
    end_text, _, signature = rest.partition(".")
    if not (end_text.isascii() and end_text.isdigit() and len(end_text) < 16):
        return None
    ends = int(end_text)
    expected = _signature(secret, username, ends)
    if not hmac.compare_digest(signature.encode(), expected.encode()) or now >= ends:
        return None
    return username


def wants_renewal(value: str, now: float) -> bool:
    """Less than half of a valid pass's time is left: fetch a new one at the next page load."""
    return int(value.split(".")[1]) - now < _RENEW_SECONDS

"""One error class for researchers, and how the gateway's and the drivers' errors become its sentences."""

from __future__ import annotations

import re

AWAY = (
    "The gateway does not answer. Wait a moment and run the cell again; if it lasts, stop and start the workspace, "
    "or tell your admin."
)
EXPIRED = (
    "The gateway did not accept this workspace's token. Run the cell again in a few seconds; if it stays so, "
    "your access may have ended: open the project's page in the portal."
)

_AWAY_SIGNS = (
    "unavailable",
    "connection refused",
    "no such file",
    "failed to connect",
    "connection reset",
    "transport",
)
_LOGIN_SIGNS = ("unauthenticated", "token has expired", "unauthorized")
_DRIVER_NOISE = re.compile(
    r"^.*?(?:\[FlightSQL\]\s*|Flight error: |Flight returned \w+ error, with message: )", re.DOTALL
)
_TAILS = re.compile(
    r"(?:\s*\((?:Unauthenticated|Unauthorized|Unknown|InvalidArgument|Internal|NotFound|PermissionDenied|Unavailable|"
    r"ResourceExhausted|FailedPrecondition|Cancelled|DeadlineExceeded|Unimplemented)[;:].*\)|"
    r"\.? gRPC client debug context:.*|\.? Client context:.*|\.? Detail: .*)$",
    re.DOTALL,
)


class EnclaveError(Exception):
    """Something did not work; the message says what was expected, what was found and what to do next."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook: the sentence, without the pages of driver code above it."""
        return [f"EnclaveError: {self}"]


def is_login_problem(error: Exception) -> bool:
    """The gateway refused the token: worth reading the token file anew once."""
    return any(sign in str(error).lower() for sign in _LOGIN_SIGNS)


def is_worth_another_try(error: Exception) -> bool:
    """Nothing has run: the token was refused, or nobody listened on a connection kept from before."""
    text = str(error).lower()
    return is_login_problem(error) or "failed to connect" in text or "connection refused" in text


def as_sentence(error: Exception) -> str:
    """What the gateway said, without the drivers' decoration."""
    text = str(error)
    lower = text.lower()
    if is_login_problem(error):
        return EXPIRED
    if any(sign in lower for sign in _AWAY_SIGNS):
        return AWAY
    plain = _TAILS.sub("", _DRIVER_NOISE.sub("", text, count=1)).strip()
    return plain or "The gateway refused without saying why. Tell your admin the time of day of this attempt."

"""Our sentences and stored strings in the reader's language."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpResponseBase
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from egress_review.domain.findings import Location, Severity
from egress_review.domain.follow_ups import Change, Standing
from egress_review.domain.sentences import Sentence
from egress_review.domain.states import RequestState, Verb
from enclave.domain.decisions import RefusedError

View = Callable[..., HttpResponseBase]

STATES: dict[str, str] = {
    RequestState.SUBMITTED: _("Waiting for review"),
    RequestState.IN_REVIEW: _("One approval, second needed"),
    RequestState.APPROVED: _("Approved, release under way"),
    RequestState.RELEASED: _("Released"),
    RequestState.REJECTED: _("Rejected"),
    RequestState.RETURNED: _("Sent back for changes"),
    RequestState.WITHDRAWN: _("Withdrawn"),
    RequestState.VOIDED: _("Void"),
}
TONES: dict[str, str] = {
    RequestState.SUBMITTED: "wait",
    RequestState.IN_REVIEW: "wait",
    RequestState.APPROVED: "info",
    RequestState.RELEASED: "good",
    RequestState.REJECTED: "bad",
    RequestState.RETURNED: "wait",
    RequestState.WITHDRAWN: "plain",
    RequestState.VOIDED: "bad",
    Severity.BLOCKING: "bad",
    Severity.WARNING: "wait",
    Severity.INFO: "plain",
    Verb.APPROVE: "good",
    Verb.REJECT: "bad",
    Verb.RETURN: "wait",
    Change.UNCHANGED: "plain",
    Change.CHANGED: "wait",
    Change.ADDED: "info",
    Change.REMOVED: "plain",
    Standing.NEW: "info",
    Standing.SAME: "plain",
    Standing.GONE: "good",
}
OTHERS: dict[str, str] = {
    Severity.BLOCKING: _("Must be justified"),
    Severity.WARNING: _("Look closely"),
    Severity.INFO: _("For information"),
    Verb.APPROVE: _("Approval"),
    Verb.REJECT: _("Rejection"),
    Verb.RETURN: _("Changes asked for"),
}
SINCE: dict[str, str] = {
    Change.UNCHANGED: _("Unchanged"),
    Change.CHANGED: _("Changed"),
    Change.ADDED: _("Added"),
    Change.REMOVED: _("No longer there"),
    Standing.NEW: _("New"),
    Standing.SAME: _("At the same place"),
    Standing.GONE: _("Gone"),
}
CHECKS: dict[str, str] = {
    "file-type": _("File type"),
    "file-size": _("Size"),
    "unreadable": _("Cannot be checked"),
    "pseudonym": _("Pseudonym"),
    "pseudonym-column": _("Pseudonym column"),
    "small-count": _("Small count"),
    "subtraction": _("Count by subtraction"),
    "row-level": _("Rows of single people"),
    "active-content": _("Active content"),
    "unknown-output": _("Unknown output"),
    "html-output": _("HTML output"),
    "hidden-html": _("Hidden markup"),
    "picture": _("Picture"),
    "hidden-bytes": _("Hidden bytes"),
    "hidden-text": _("Hidden text"),
    "hidden-metadata": _("Hidden metadata"),
    "long-value": _("Long value"),
}
LABELS: dict[str, str] = {**STATES, **OTHERS, **SINCE, **CHECKS}


def label_of(value: str) -> str:
    """The label of a state, severity, verdict, change or check."""
    found = LABELS.get(value)
    return gettext(found) if found else value


def translated(text: str) -> str:
    """A sentence of ours in the active language; other text as it is."""
    if isinstance(text, Sentence):
        return gettext(text.template) % text.values
    return text


def place_of(location: Location) -> str:
    """Where a finding points, in words; empty for a whole file."""
    named = (
        (_("cell %(number)s"), location.cell),
        (_("output %(number)s"), location.output),
        (_("line %(number)s"), location.line),
        (_("column %(number)s"), location.column),
    )
    return ", ".join(gettext(words) % {"number": number} for words, number in named if number is not None)


def in_readers_language(view: View) -> View:
    """A refusal leaves the view in the reader's language; its record was written before, in English."""

    @wraps(view)
    def speaking(*args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(*args, **kwargs)
        except RefusedError as refused:
            raise type(refused)(*(translated(reason) for reason in refused.reasons)) from refused

    return speaking

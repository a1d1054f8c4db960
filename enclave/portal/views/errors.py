"""Pages for answers that are not what was asked for: plain words, what to do next, no detail of the inside."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise
_HEADINGS: dict[int, tuple[Text, Text]] = {
    400: (_("This request cannot be read"), _("Go back, load the page again and repeat what you did.")),
    403: (_("This is not open to you"), _("The refusal has been recorded, as every refusal is.")),
    404: (_("There is no such page"), _("Check the address, or begin at the home page.")),
    409: (
        _("This cannot be done now"),
        _("Somebody may have been faster. Load the page again to see where it stands."),
    ),
    422: (_("The data permit cannot be accepted"), _("Mend the lines named above and try again.")),
    429: (_("Too many attempts"), _("Wait five minutes, then try again.")),
    503: (_("The audit log does not answer"), _("Nothing was changed: nothing happens here without a record.")),
}


def error_page(request: HttpRequest, status: int, reasons: tuple[Text, ...] = ()) -> HttpResponse:
    """The page for one status with the sentences that explain it."""
    heading, advice = _HEADINGS.get(status, _HEADINGS[400])
    context = {"code": int(status), "heading": heading, "advice": advice, "reasons": reasons}
    return render(request, "portal/error.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    return error_page(request, HTTPStatus.BAD_REQUEST)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return error_page(request, HTTPStatus.FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return error_page(request, HTTPStatus.NOT_FOUND)


def too_many(request: HttpRequest) -> HttpResponse:
    """allauth's handler429."""
    return error_page(request, HTTPStatus.TOO_MANY_REQUESTS)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form came without its token: an old page, or another site."""
    sentence = _("The form came without its safety token: the page was too old, or cookies are off.")
    return error_page(request, HTTPStatus.FORBIDDEN, (sentence,))

"""What holds for every request: headers, declared permissions, own credentials, and errors as pages in plain words."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect

from audit.client import AuditUnavailable
from enclave.domain.decisions import RefusedError
from enclave.extracts.permit_file import PermitError
from enclave.portal.models import User
from enclave.portal.permissions import Audience, find_access
from enclave.portal.rules import StateConflictError
from enclave.portal.sentences import translated_sentence
from enclave.portal.views.errors import error_page

Respond = Callable[[HttpRequest], HttpResponseBase]
INTERNAL = "/internal/"
AUDIT_AWAY = (
    "The audit log does not answer, so nothing was changed. Try again in a minute; if it stays, tell the people who "
    "run this enclave."
)


def content_security_policy() -> str:
    """No inline script or style, nothing from elsewhere; a log-in form may end at hub or workspace (redirects)."""
    hub = settings.ENCLAVE.hub_url
    workspaces = f" {hub.replace('://', '://*.', 1)}" if settings.ENCLAVE.workspace_origins else ""
    return (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action 'self' {hub}{workspaces}"
    )


class ResponseHeaders:
    """Sets the content security policy and forbids caches, unless the view already said something stricter."""

    def __init__(self, get_response: Respond) -> None:
        self._respond = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the headers added."""
        response = self._respond(request)
        response.headers.setdefault("Content-Security-Policy", content_security_policy())
        response.headers.setdefault("Cache-Control", "private, no-store")
        response.headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        return response


class DeclaredPermissions:
    """Fail closed: a route that nobody declared does not answer; a closed library route is not there."""

    def __init__(self, get_response: Respond) -> None:
        self._respond = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass on."""
        return self._respond(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Look the declaration up before the view runs."""
        match = request.resolver_match
        access = find_access(view, match.view_name if match else "")
        if access is None:
            reason = "This address declares no permission, so nobody may open it. Report it to the people who run this."
            return error_page(request, HTTPStatus.FORBIDDEN, (reason,))
        if access.audience is Audience.CLOSED:
            raise Http404
        return None


class OwnCredentialsRequired:
    """First a password that nobody else has seen, then a second factor (TOTP, RFC 6238), then everything else.

    The password comes first, so that the second factor is set up by somebody who is known to be the person.
    SATRE 1.5.02, 3.2.04. The log-in to the hub is one of the pages held back; access files do the same for tokens
    and workspaces (``User.as_person``).
    """

    ALWAYS = frozenset({"account_logout", "set_language", "health"})
    FOR_PASSWORD = ALWAYS | {"account_change_password"}
    FOR_SECOND_FACTOR = ALWAYS | {"mfa_activate_totp", "account_reauthenticate"}

    def __init__(self, get_response: Respond) -> None:
        self._respond = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass on."""
        return self._respond(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Send a logged-in person to the page that is still missing."""
        name = request.resolver_match.view_name if request.resolver_match else ""
        if request.path.startswith(INTERNAL) or not isinstance(request.user, User):
            return None
        if request.user.must_change_password:
            return None if name in self.FOR_PASSWORD else redirect("account_change_password")
        if Authenticator.objects.filter(user=request.user, type=Authenticator.Type.TOTP).exists():
            return None
        return None if name in self.FOR_SECOND_FACTOR else redirect("mfa_activate_totp")


class ErrorPages:
    """The one place that maps our errors to HTTP: refused 403, state conflict 409, permit 422, audit away 503."""

    def __init__(self, get_response: Respond) -> None:
        self._respond = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass on."""
        return self._respond(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A page (or JSON for our own processes); None lets Django answer."""
        found = status_of(error)
        if found is None:
            return None
        status, reasons = found
        if request.path.startswith(INTERNAL):
            return JsonResponse({"reasons": [translated_sentence(reason) for reason in reasons]}, status=status)
        return error_page(request, status, reasons)


def status_of(error: Exception) -> tuple[HTTPStatus, tuple[str, ...]] | None:
    """HTTP status and sentences of an error of ours, or None."""
    match error:
        case StateConflictError():
            return HTTPStatus.CONFLICT, error.reasons
        case RefusedError():
            return HTTPStatus.FORBIDDEN, error.reasons
        case PermitError():
            return HTTPStatus.UNPROCESSABLE_ENTITY, tuple(str(error).splitlines())
        case AuditUnavailable():
            return HTTPStatus.SERVICE_UNAVAILABLE, (AUDIT_AWAY,)
        case _:
            return None

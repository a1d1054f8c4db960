"""Who may open which page, declared at the view: ``@requires(Role.X, …)``, ``@signed_in``, ``@public`` or ``@service``.

A route without a declaration is refused by ``middleware.DeclaredPermissions`` and found by a test that walks all
routes. Pages of the account library are declared in ``LIBRARY_ROUTES``; what we do not offer is closed there.
Non-goal: whether an action may be done *now* (``enclave.portal.rules``).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.keys import service_secret
from enclave.portal.models import User
from enclave.portal.record import record

SERVICE_HEADER = "X-Enclave-Service"
View = Callable[..., HttpResponseBase]


class Audience(StrEnum):
    """For whom a route is."""

    PUBLIC = "public"
    SIGNED_IN = "signed-in"
    ROLES = "roles"
    SERVICE = "service"
    CLOSED = "closed"


@dataclass(frozen=True)
class Access:
    """A route's declaration."""

    audience: Audience
    roles: frozenset[Role] = frozenset()


class SignedInRequest(HttpRequest):
    """What a view behind ``requires`` or ``signed_in`` gets."""

    user: User


_PUBLIC, _SIGNED_IN, _CLOSED = Access(Audience.PUBLIC), Access(Audience.SIGNED_IN), Access(Audience.CLOSED)
LIBRARY_ROUTES: dict[str, Access] = {
    "set_language": _PUBLIC,
    "account_login": _PUBLIC,
    "account_logout": _PUBLIC,
    "account_inactive": _PUBLIC,
    "account_reauthenticate": _SIGNED_IN,
    "account_change_password": _SIGNED_IN,
    "mfa_authenticate": _PUBLIC,
    "mfa_reauthenticate": _SIGNED_IN,
    "mfa_index": _SIGNED_IN,
    "mfa_activate_totp": _SIGNED_IN,
    "mfa_view_recovery_codes": _SIGNED_IN,
    "mfa_generate_recovery_codes": _SIGNED_IN,
    "mfa_download_recovery_codes": _SIGNED_IN,
    "idp:oidc:configuration": _PUBLIC,
    "idp:oidc:jwks": _PUBLIC,
    "idp:oidc:authorization": _PUBLIC,
    "idp:oidc:token": _PUBLIC,
    "idp:oidc:revoke": _PUBLIC,
    "idp:oidc:userinfo": _PUBLIC,
    "idp:oidc:logout": _PUBLIC,
    "account_signup": _CLOSED,
    "account_email": _CLOSED,
    "account_email_verification_sent": _CLOSED,
    "account_confirm_email": _CLOSED,
    "account_set_password": _CLOSED,
    "account_reset_password": _CLOSED,
    "account_reset_password_done": _CLOSED,
    "account_reset_password_from_key": _CLOSED,
    "account_reset_password_from_key_done": _CLOSED,
    "account_confirm_login_code": _CLOSED,
    "mfa_deactivate_totp": _CLOSED,
    "mfa_trust": _CLOSED,
    "idp:oidc:device_authorization": _CLOSED,
    "idp:oidc:device_code": _CLOSED,
}
"""Routes of allauth and Django by name. Closed ones answer 404: no sign-up, no reset by mail, no second factor off."""


def _declare(view: View, access: Access) -> View:
    setattr(view, "enclave_access", access)  # noqa: B010 - a function attribute the type checker does not know
    return view


def find_access(view: View, route_name: str) -> Access | None:
    """The declaration of a view or library route, or None when nobody declared one."""
    declared = getattr(view, "enclave_access", None)
    if isinstance(declared, Access):
        return declared
    return LIBRARY_ROUTES.get(route_name)


def public(view: View) -> View:
    """Anybody may open this page, logged in or not."""
    return _declare(view, _PUBLIC)


def requires(*roles: Role) -> Callable[[View], View]:
    """Only people who hold one of ``roles``; a refusal is recorded and raised as ``RefusedError``."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not isinstance(request.user, User):
                return redirect_to_login(request.get_full_path())
            if roles and not request.user.role_set & frozenset(roles):
                _refuse(request, request.user, roles, kwargs)
            return view(request, *args, **kwargs)

        audience = Audience.ROLES if roles else Audience.SIGNED_IN
        return _declare(guarded, Access(audience, frozenset(roles)))

    return decorate


def signed_in(view: View) -> View:
    """Any person who is logged in with both factors."""
    return requires()(view)


def _refuse(request: HttpRequest, user: User, roles: tuple[Role, ...], kwargs: dict[str, Any]) -> None:
    wanted = " or ".join(sorted(roles))
    reason = f"This page is for people with the role {wanted}. Ask an admin if you should hold it."
    route = request.resolver_match.view_name if request.resolver_match else "unknown"
    project = kwargs.get("project")
    record(
        EventType.ACTION_REFUSED,
        user,
        project=str(project) if project else None,
        subject=f"route:{route}",
        decision="deny",
        policies=("role-required",),
        data={"reasons": [reason], "method": request.method or ""},
    )
    raise RefusedError(reason)


def service(view: View) -> View:
    """Only our own processes: the service secret in ``X-Enclave-Service``, compared in constant time; no CSRF token."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        given = request.headers.get(SERVICE_HEADER, "")
        if not hmac.compare_digest(given.encode(), service_secret(settings.ENCLAVE).encode()):
            record(
                EventType.ACTION_REFUSED,
                None,
                subject=f"route:{request.resolver_match.view_name if request.resolver_match else 'unknown'}",
                decision="deny",
                policies=("service-secret",),
                data={"reasons": ["service secret missing or wrong"]},
            )
            reason = f"Expected the service secret in {SERVICE_HEADER}, found none or another one."
            return JsonResponse({"reasons": [reason]}, status=403)
        return view(request, *args, **kwargs)

    return _declare(csrf_exempt(guarded), Access(Audience.SERVICE))

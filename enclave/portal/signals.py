"""Recorders of refused log-ins and of changed second factors.

Successful log-ins and changed passwords are recorded by the account adapter.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_login_failed

from enclave.domain.events import EventType
from enclave.portal.models import User


def connect() -> None:
    """Called once, when Django is ready."""
    from allauth.mfa.signals import authentication_failed, authenticator_added, authenticator_removed

    user_login_failed.connect(_password_refused, dispatch_uid="portal-password-refused")
    authentication_failed.connect(_second_factor_refused, dispatch_uid="portal-second-factor-refused")
    authenticator_added.connect(_second_factor_changed, dispatch_uid="portal-second-factor-added")
    authenticator_removed.connect(_second_factor_changed, dispatch_uid="portal-second-factor-removed")


def _password_refused(sender: object, credentials: dict[str, Any], **rest: object) -> None:
    from enclave.portal.record import record

    name = str(credentials.get("username") or "")
    known = User.objects.filter(username=name).first()
    # What somebody typed as a name may be a password in the wrong field: only a known person is named.
    record(
        EventType.LOGIN_REFUSED,
        known,
        subject=known.person_id if known else None,
        decision="deny",
        data={"step": "password", "known_person": known is not None},
    )


def _second_factor_refused(sender: object, user: User, **rest: object) -> None:
    from enclave.portal.record import record

    record(EventType.LOGIN_REFUSED, user, subject=user.person_id, decision="deny", data={"step": "second-factor"})


def _second_factor_changed(sender: object, user: User, **rest: object) -> None:
    from enclave.portal.record import record

    record(
        EventType.PERSON_CREDENTIALS_CHANGED,
        user,
        subject=user.person_id,
        decision="allow",
        data={"what": "second-factor"},
    )

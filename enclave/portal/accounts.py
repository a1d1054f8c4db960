"""Accounts as the library's adapters: no sign-up, log-ins recorded first, second factors encrypted at rest."""

from __future__ import annotations

import base64
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.http import HttpRequest

from enclave.domain.events import EventType
from enclave.keys import django_secret
from enclave.portal.models import User
from enclave.portal.record import record


class ClosedAccounts(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are given by an admin to named people only (EHDS art. 73(1)(a))."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def login(self, request: HttpRequest, user: User) -> None:
        """Record, then begin the session: without the audit log nobody gets in."""
        record(EventType.LOGIN_SUCCEEDED, user, subject=user.person_id, decision="allow")
        super().login(request, user)

    def set_password(self, user: User, password: str) -> None:
        """The person chose it: recorded first; a first password that somebody else saw is over."""
        from enclave.portal.actions.people import choose_password

        choose_password(user, password)

    def get_client_ip(self, request: HttpRequest) -> str:
        """The browser's address as the edge says it; our own processes on the unix socket count as one."""
        if not request.headers.get("X-Forwarded-For") and not request.META.get("REMOTE_ADDR"):
            return "127.0.0.1"
        return str(super().get_client_ip(request))

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Setting up the first second factor follows the password at once, so it is not asked for again."""
        user = context.request.user
        if app == "allauth.mfa" and not Authenticator.objects.filter(user_id=user.pk).exists():
            return False
        return bool(super().is_reauthentication_required(app=app, **kwargs))


class EncryptedSecondFactors(DefaultMFAAdapter):  # type: ignore[misc]
    """TOTP secrets are stored encrypted (Fernet) under a key derived from the portal's own secret."""

    def encrypt(self, text: str) -> str:
        """Ciphertext for the database."""
        return seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """The secret back; raises ``InvalidToken`` when it was encrypted under another key."""
        return unseal(encrypted_text)

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """The authenticator app stays; recovery codes may be replaced."""
        return bool(authenticator.type != Authenticator.Type.TOTP)

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """The enclave sends no mail."""


def seal(text: str) -> str:
    """Ciphertext for the database."""
    return _cipher().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """The text back; raises ``InvalidToken`` when it was encrypted under another key."""
    return _cipher().decrypt(sealed.encode()).decode()


def _cipher() -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"enclave portal second factors").derive(
        django_secret(settings.ENCLAVE).encode()
    )
    return Fernet(base64.urlsafe_b64encode(derived))


def remove_second_factor(user: User) -> None:
    """Authenticator app and recovery codes go: the person sets up new ones. Recorded by the caller."""
    Authenticator.objects.filter(user=user).delete()


def set_second_factor(user: User, totp_secret: str) -> None:
    """Give ``user`` this TOTP secret (base32), replacing an earlier one."""
    from allauth.mfa.totp.internal.auth import TOTP

    Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).delete()
    TOTP.activate(user, totp_secret)

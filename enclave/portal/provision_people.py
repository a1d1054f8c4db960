"""Accounts made on the machine: by the demo, the installer or an admin at the command line. Recorded like any other."""

from __future__ import annotations

from collections.abc import Iterable

from enclave.domain.people import Role
from enclave.portal.actions.people import add_person
from enclave.portal.models import User


def create_person(
    username: str, display_name: str, roles: Iterable[Role], password: str, totp_secret: str | None
) -> User:
    """A new account. ``totp_secret``: base32 text, or None so that the person sets it up at the first log-in.

    Raises ``RefusedError`` for a taken or ill-formed name, ``AuditUnavailable`` when the log does not answer.
    """
    return add_person(None, username, display_name, frozenset(roles), password, totp_secret)

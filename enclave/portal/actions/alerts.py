"""Muting alerts and rules: what auditors change. All of it lives in the log itself."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings

from audit.alerts import MuteRefused, mute, unmute
from enclave.domain.decisions import RefusedError
from enclave.portal.models import User
from enclave.portal.record import audit_client, audited_change

_PUBLISHED_SECONDS = 5.0


def mute_target(
    actor: User, target: str, *, reason: str, text: str, until: datetime | None, about: str | None = None
) -> None:
    """Mute ``alert:<key>`` or ``rule:<id>``. ``about``: the person an alert is about. Raises RefusedError, recorded."""
    with audited_change(actor, subject=target):
        if about == actor.person_id:
            raise RefusedError("This alert is about you, so another auditor has to look at it.")
        try:
            receipt = mute(
                audit_client(),
                target,
                by=actor.person_id,
                reason=reason,
                text=text,
                until=until,
                now=datetime.now(UTC),
            )
        except MuteRefused as refused:
            raise RefusedError(str(refused)) from refused
    audit_client().wait_published(receipt.index, settings.ENCLAVE.log_dir, _PUBLISHED_SECONDS)


def unmute_target(actor: User, target: str, *, text: str) -> None:
    """End a mute. Raises RefusedError, recorded."""
    with audited_change(actor, subject=target):
        try:
            receipt = unmute(audit_client(), target, by=actor.person_id, text=text)
        except MuteRefused as refused:
            raise RefusedError(str(refused)) from refused
    audit_client().wait_published(receipt.index, settings.ENCLAVE.log_dir, _PUBLISHED_SECONDS)

"""What commands need that change the state of a running enclave: its portal's models and its audit log."""

from __future__ import annotations

import os

import django

from enclave.domain.decisions import RefusedError
from enclave.settings import Settings, get_settings


def set_up_portal() -> Settings:
    """Make the portal's models usable in this process. Raises RefusedError when no enclave runs on this home: nothing
    is changed that cannot be recorded first, and the portal makes and migrates the database at its start."""
    settings = get_settings()
    if not settings.audit_socket.exists():
        raise RefusedError(
            f"Expected a running enclave on {settings.root}, found none. Start it with 'enclave serve' (ENCLAVE_HOME "
            "and ENCLAVE_CONFIG as there), then run this again."
        )
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
    django.setup()
    return settings

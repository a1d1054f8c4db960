"""The Django app ``portal``."""

from __future__ import annotations

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """Accounts, projects, people, audit pages, identity provider and internal API."""

    name = "enclave.portal"
    label = "portal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the recorders of refused log-ins."""
        from enclave.portal import signals

        signals.connect()

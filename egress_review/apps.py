"""The Django app ``egress_review``."""

from __future__ import annotations

from django.apps import AppConfig


class EgressReviewConfig(AppConfig):
    """Output requests, reviews and releases; uses the people and projects of ``enclave.portal``."""

    name = "egress_review"
    label = "egress_review"
    default_auto_field = "django.db.models.BigAutoField"

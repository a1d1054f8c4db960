"""Internal routes, mounted by the portal at ``/internal/output-requests``; never forwarded by the edge."""

from __future__ import annotations

from django.urls import path

from egress_review.web.internal import outbox_checks, output_requests

urlpatterns = [
    path("", output_requests, name="internal-output-requests"),
    path("/check", outbox_checks, name="internal-outbox-checks"),
]

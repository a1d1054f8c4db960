"""The catalogue of datasets that an application can ask for (SATRE 3.4.01)."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from enclave.portal.models import Dataset
from enclave.portal.permissions import SignedInRequest, signed_in


@signed_in
@require_GET
def dataset_list(request: SignedInRequest) -> HttpResponse:
    """Every dataset and version."""
    return render(request, "portal/dataset_list.html", {"datasets": Dataset.objects.all()})

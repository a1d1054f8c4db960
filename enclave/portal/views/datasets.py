"""The catalogue of datasets that an application can ask for."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from enclave.domain.source_outline import draft_permit, read_outline
from enclave.portal.models import Dataset
from enclave.portal.permissions import SignedInRequest, signed_in


@signed_in
@require_GET
def dataset_list(request: SignedInRequest) -> HttpResponse:
    """Every dataset and version."""
    return render(request, "portal/dataset_list.html", {"datasets": Dataset.objects.all()})


@signed_in
@require_GET
def dataset_detail(request: SignedInRequest, name: str, version: str) -> HttpResponse:
    """Tables and columns of one version: what an application can name."""
    found = get_object_or_404(Dataset, name=name, version=version)
    context = {"dataset": found, "tables": read_outline(found.tables)}
    return render(request, "portal/dataset_detail.html", context)


@signed_in
@require_GET
def dataset_permit(request: SignedInRequest, name: str, version: str) -> HttpResponse:
    """A data permit to start from, as a YAML file."""
    found = get_object_or_404(Dataset, name=name, version=version)
    draft = draft_permit(found.name, found.version, found.description, read_outline(found.tables))
    headers = {"Content-Disposition": f'attachment; filename="{found.name}-permit.yaml"'}
    return HttpResponse(draft, content_type="application/yaml; charset=utf-8", headers=headers)

"""The catalogue's rows. The source itself is registered on the producer's side (``enclave.extracts.producer``)."""

from __future__ import annotations

from enclave.portal.models import Dataset


def put_in_catalogue(name: str, version: str, description: str, source_kind: str) -> Dataset:
    """Create or update the row of a dataset version; holds no path and no credential."""
    fields = {"description": description, "source_kind": source_kind}
    row, _created = Dataset.objects.update_or_create(name=name, version=version, defaults=fields)
    return row

"""The catalogue's rows. The source itself is registered on the producer's side (``enclave.extracts.producer``)."""

from __future__ import annotations

from enclave.domain.events import EventType
from enclave.domain.source_outline import OutlinedTable, stored_outline
from enclave.portal.models import Dataset
from enclave.portal.record import record


def put_in_catalogue(
    name: str, version: str, description: str, source_kind: str, tables: tuple[OutlinedTable, ...]
) -> Dataset:
    """Record it, then create or update the row of a dataset version; holds no path and no credential."""
    record(
        EventType.DATASET_REGISTERED,
        None,
        subject=f"{name}@{version}",
        counts={"tables": len(tables), "columns": sum(len(table.columns) for table in tables)},
        data={"source_kind": source_kind},
    )
    fields = {"description": description, "source_kind": source_kind, "tables": stored_outline(tables)}
    row, _created = Dataset.objects.update_or_create(name=name, version=version, defaults=fields)
    return row

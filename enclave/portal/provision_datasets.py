"""Data sets registered on the machine, where the producer's side can be read; the portal's process never does this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from enclave.domain.decisions import RefusedError
from enclave.domain.source_outline import OutlinedTable
from enclave.extracts.outline import read_source_outline
from enclave.extracts.permit_file import DATASET_NAME, DATASET_NAME_WORDS, DATASET_VERSION, DATASET_VERSION_WORDS
from enclave.extracts.plan import PersonKind
from enclave.extracts.producer import read_opt_outs, register_dataset
from enclave.portal.actions.datasets import put_in_catalogue
from enclave.portal.record import audited_change


@dataclass(frozen=True)
class FoundSource:
    """What was seen in the source: its kind and tables, and how many people opted out (None: no list)."""

    kind: str
    tables: tuple[OutlinedTable, ...]
    opt_outs: int | None


def register_source(name: str, version: str, source: str, title: str, opt_outs: Path | None) -> FoundSource:
    """Look into ``source`` and ``opt_outs``, record, then register. A refusal is recorded and changes nothing.

    Raises ``RefusedError`` with sentences that hold no credential; ``AuditUnavailable``. An extract of the registered
    name from before stays as it is; of a project whose permit names another version none is built any more.
    """
    with audited_change(None, subject=f"{name}@{version}"):
        _check_shape(name, version, title)
        found = _look(source, opt_outs)
        put_in_catalogue(name, version, title, found.kind, found.tables)
        register_dataset(settings.ENCLAVE, name, version, source, opt_outs, None)
    return found


def _check_shape(name: str, version: str, title: str) -> None:
    if not DATASET_NAME.fullmatch(name):
        raise RefusedError(f"Expected a name of {DATASET_NAME_WORDS}, found another one. Change the name.")
    if not DATASET_VERSION.fullmatch(version):
        raise RefusedError(f"Expected a version of {DATASET_VERSION_WORDS}, found another one. Change the version.")
    if not title.strip():
        raise RefusedError("Expected a title for the catalogue, found none. Say what the data set is.")


def _look(source: str, opt_outs: Path | None) -> FoundSource:
    people = None if opt_outs is None else len(read_opt_outs(opt_outs, PersonKind.TEXT))
    kind, tables = read_source_outline(settings.ENCLAVE, source)
    if not tables:
        raise RefusedError("Expected tables in the source, found none. Check its path, and which schema holds them.")
    return FoundSource(kind, tables, people)

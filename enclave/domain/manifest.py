"""The manifest of an extract: what arrived, what was left behind, and the hashes that pin it (frozen values, JSON).

Written by the extract builder beside the data file, read by gateway, catalogue, starter notebook and disclosure checks.
It holds no row value and no key. SATRE 3.1.08 and 3.1.11.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from enclave.domain.permits import Treatment


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestColumn(_Frozen):
    """One column of the extract: DuckDB type and what was done to it."""

    name: str
    type: str
    treatment: Treatment


class ManifestTable(_Frozen):
    """One table of the extract and what was dropped on the way."""

    name: str
    rows: int
    source_rows: int
    columns: tuple[ManifestColumn, ...]
    person: str | None
    dropped_columns: tuple[str, ...]
    dropped_rows_filter: int
    dropped_rows_opt_out: int
    dropped_rows_no_person: int


class ManifestFile(_Frozen):
    """A data file of the extract, relative to the manifest's folder."""

    path: str
    sha256: str
    bytes: int


class Manifest(_Frozen):
    """``manifest.json``."""

    format: int = 1
    project: str
    extract_version: str
    dataset: str
    dataset_version: str
    permit_sha256: str
    built_at: str
    """RFC 3339, UTC."""
    source_kind: str
    """``duckdb``, ``csv``, ``parquet`` or ``postgresql``."""
    people: int
    """Distinct people in the extract."""
    opt_outs_listed: int
    opt_outs_matched: int
    date_shift_days: int
    tables: tuple[ManifestTable, ...]
    dropped_tables: tuple[str, ...]
    files: tuple[ManifestFile, ...]

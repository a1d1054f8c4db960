"""The sample hospital, the shipped permits and the sandboxed builder, end to end."""

from __future__ import annotations

import csv
import re
import stat
from datetime import date
from pathlib import Path

import duckdb
import pytest

from enclave.catalogue import read_manifest
from enclave.domain.ids import ExtractVersion
from enclave.domain.permits import Permit, Treatment
from enclave.extracts.check import check_extract
from enclave.extracts.launch import run_builder
from enclave.extracts.permit_file import read_permit
from enclave.extracts.producer import dataset_file, key_file, read_dataset
from enclave.extracts.sample import SAMPLE_PERMIT, prepare_sample_hospital, register_for_permit

V1 = ExtractVersion("v1")


def read_csv(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_hospital_is_built_in_the_sandbox(house) -> None:
    prepare_sample_hospital(house.settings)
    permit = read_permit(SAMPLE_PERMIT)
    house.place_permit(SAMPLE_PERMIT.read_text(), permit.project)
    key_file(house.settings, permit.pseudonym_domain).unlink()
    assert run_builder(house.settings, permit.project, V1).reasons == ()
    manifest = read_manifest(house.extract("v1", permit.project) / "manifest.json")
    person = manifest.tables[0]
    assert (person.source_rows, person.rows, person.dropped_rows_opt_out) == (2694, 2394, 300)
    assert (manifest.opt_outs_listed, manifest.opt_outs_matched) == (300, 300)
    assert manifest.permit_sha256 == permit.sha256
    assert check_extract(house.settings, permit.project, V1) == []
    assert stat.S_IMODE(key_file(house.settings, permit.pseudonym_domain).stat().st_mode) == 0o600
    kinds = [kind for kind, _ in house.records() if kind.startswith("extract:")]
    assert kinds == ["extract:started", "extract:built"]


def test_identities_are_generated_and_stay_with_the_producer(house) -> None:
    prepare_sample_hospital(house.settings)
    dataset = read_dataset(house.settings, "gibleed")
    identities = {row["person_id"]: row for row in read_csv(dataset.identities)}
    opt_outs = {row["person_id"] for row in read_csv(dataset.opt_outs)}
    assert len(opt_outs) == 300
    assert opt_outs <= set(identities)
    for row in identities.values():
        number = row["national_number"]
        assert re.fullmatch(r"[12]\d{14}", number)
        assert int(number[13:]) == 97 - int(number[:13]) % 97
        assert number[1:5] == f"{date.fromisoformat(row['birth_date']):%y%m}"
        assert row["family_name"]
        assert row["address"]
        assert row["phone"]
    for path in (dataset.identities, dataset.opt_outs, dataset_file(house.settings, "gibleed")):
        assert path is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = Path(str(dataset.identities)).read_bytes()
    prepare_sample_hospital(house.settings)
    assert Path(str(dataset.identities)).read_bytes() == before


def write_source_for(permit: Permit, folder: Path) -> None:
    """A miniature of the source the permit was written for: CSV files with its tables and columns, two without rows."""
    folder.mkdir(parents=True)
    dated = {Treatment.SHIFT_DATE, Treatment.MONTH, Treatment.YEAR}
    people = [str(n) for n in range(8_000_000_000_000_000_000, 8_000_000_000_000_000_040)]
    for number, table in enumerate(permit.tables):
        columns = [c for c in table.columns if c.name != table.person]
        lines = [[*([table.person] if table.person else []), *(c.name for c in columns), "source_value"]]
        for row, person in enumerate(people if number not in (2, 5) else []):
            values = ["2150-03-01" if c.treatment in dated else str(1000 + row) for c in columns]
            signed = person if row % 2 else f"-{person}"
            lines.append([*([signed] if table.person else []), *values, f"RAWVALUE-{row}"])
        (folder / f"{table.name}.csv").write_text("\n".join(",".join(line) for line in lines) + "\n")


def test_the_mimic_permit_builds_from_a_folder_of_csv(house, tmp_path) -> None:
    example = SAMPLE_PERMIT.parent / "mimic-demo.yaml"
    permit = read_permit(example)
    write_source_for(permit, tmp_path / "nested" / "tables")
    register_for_permit(house.settings, permit, str(tmp_path))
    house.place_permit(example.read_text(), permit.project)
    assert run_builder(house.settings, permit.project, V1, parquet=True).reasons == ()
    manifest = read_manifest(house.extract("v1", permit.project) / "manifest.json")
    assert (manifest.people, manifest.opt_outs_listed, manifest.source_kind) == (38, 2, "csv")
    assert [t.rows for t in manifest.tables if t.person] == [38, 38, 0, 38, 38, 0, 38, 38, 38]
    assert all(t.dropped_columns[-1] == "source_value" for t in manifest.tables)
    for file in house.extract("v1", permit.project).iterdir():
        assert b"RAWVALUE" not in file.read_bytes()


def test_a_postgresql_source_is_built_in_the_sandbox(house, warehouse) -> None:
    house.register(warehouse["postgresql"])
    result = run_builder(house.settings, "stays", V1)
    assert result.reasons == ()
    assert read_manifest(house.extract() / "manifest.json").source_kind == "postgresql"


def test_the_launcher_records_what_the_builder_cannot(house, small_source) -> None:
    house.register(small_source)
    (house.settings.projects_dir / "stays" / "permit.yaml").write_text("permit: 1\n")
    result = run_builder(house.settings, "stays", V1)
    assert not result.ok
    assert 'permit.yaml, line 1: expected the key "project"' in result.reasons[0]
    kinds = [kind for kind, _ in house.records() if kind.startswith("extract:")]
    assert kinds == ["extract:refused"]


@pytest.mark.parametrize("place", ["identities", "outside"])
def test_a_view_in_the_source_cannot_read_other_files(house, tmp_path, place: str) -> None:
    """The attacker owns the source: a view of it reads the identities, or a file of the machine."""
    target = (
        house.settings.producer_dir / "identities" / "warehouse.csv" if place == "identities" else tmp_path / "x.csv"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("code,label,valid_from\n1,Jeanne Martin,1970-01-01\n")
    file = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE person AS SELECT 5 AS person_id, 1950 AS birth_year, 'Dijon' AS town")
        connection.execute(
            "CREATE TABLE stay AS SELECT 1 AS stay_id, 5 AS person_id, 5 AS mother_id, "
            "DATE '2015-01-01' AS start_date, DATE '2015-01-01' AS end_date, DATE '2015-01-01' AS started_at, "
            "DATE '2015-01-01' AS month, 1 AS cost, "
            "'north' AS ward"
        )
        connection.execute(f"CREATE VIEW concept AS FROM read_csv('{target}')")
    house.register(file, opt_outs=())
    for result in (house.build(), run_builder(house.settings, "stays", V1).reasons):
        assert "Expected the table concept to be readable" in result[0]
    assert house.left_behind() == []

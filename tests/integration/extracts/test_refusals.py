"""Builds that must not happen: each says why, is recorded, and leaves nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from enclave.extracts.producer import key_file
from enclave.extracts.version_folder import building


def expired(house, source: Path) -> None:
    permit = house.settings.projects_dir / "stays" / "permit.yaml"
    permit.write_text(permit.read_text().replace("2099-12-31", "2020-12-31"))


def other_project(house, source: Path) -> None:
    permit = house.settings.projects_dir / "stays" / "permit.yaml"
    permit.write_text(permit.read_text().replace("project: stays", "project: drugs"))


def wrong_permit(house, source: Path) -> None:
    permit = house.settings.projects_dir / "stays" / "permit.yaml"
    permit.write_text(permit.read_text().replace("band 5", "band"))


def no_permit(house, source: Path) -> None:
    (house.settings.projects_dir / "stays" / "permit.yaml").unlink()


def unregistered(house, source: Path) -> None:
    (house.settings.producer_dir / "datasets" / "warehouse.yaml").unlink()


def other_version(house, source: Path) -> None:
    permit = house.settings.projects_dir / "stays" / "permit.yaml"
    permit.write_text(permit.read_text().replace('version: "1"', 'version: "2"'))


def unknown_column(house, source: Path) -> None:
    permit = house.settings.projects_dir / "stays" / "permit.yaml"
    permit.write_text(permit.read_text().replace("birth_year:", "year_of_birth:"))


def filter_of_another_type(house, source: Path) -> None:
    permit = house.settings.projects_dir / "stays" / "permit.yaml"
    permit.write_text(permit.read_text().replace("ward <> 'closed'", "ward + 5 = 'Jeanne'"))


def missing_source(house, source: Path) -> None:
    shutil.rmtree(source)


def empty_folder(house, source: Path) -> None:
    for file in source.iterdir():
        file.unlink()


def mixed_folder(house, source: Path) -> None:
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"COPY (SELECT 1 AS a) TO '{source}/more.parquet'")


def two_files_of_one_table(house, source: Path) -> None:
    (source / "copy").mkdir()
    shutil.copy(source / "person.csv", source / "copy" / "PERSON.csv")


def empty_file(house, source: Path) -> None:
    (source / "person.csv").write_bytes(b"")


def broken_file(house, source: Path) -> None:
    (source / "person.csv").write_bytes(b'person_id,birth_year,town\n1,"Jeanne\n2,3,4,5,6\n\xff\xfe')


def not_a_database(house, source: Path) -> None:
    file = source / "warehouse.duckdb"
    file.write_bytes(b"Jeanne Martin" * 1000)
    house.register(file)


def unreachable_server(house, source: Path) -> None:
    house.register("postgresql://hospital:s3cret-word@127.0.0.1:1/warehouse")


def missing_opt_outs(house, source: Path) -> None:
    (house.settings.producer_dir / "opt-outs" / "warehouse.csv").unlink()


def unreadable_opt_out(house, source: Path) -> None:
    house.register(source, opt_outs=("5", "Jeanne"))


def wide_opt_outs(house, source: Path) -> None:
    (house.settings.producer_dir / "opt-outs" / "warehouse.csv").write_text("person_id,name\n5,Jeanne\n")


def missing_key(house, source: Path) -> None:
    key_file(house.settings, "stays").unlink()


def key_for_everybody(house, source: Path) -> None:
    key_file(house.settings, "stays").chmod(0o644)


def short_key(house, source: Path) -> None:
    key_file(house.settings, "stays").write_bytes(b"short")


CASES: list[tuple[Callable[[object, Path], None], str]] = [
    (expired, "found one that expired on 2020-12-31"),
    (other_project, "Expected a data permit of the project stays, found one of drugs"),
    (wrong_permit, "permit.yaml, line 14: tables.person.columns.birth_year"),
    (no_permit, "expected the data permit permit.yaml, found that it cannot be read"),
    (unregistered, "Expected a registration of the data set warehouse"),
    (other_version, "Expected version 2 of the data set warehouse, found 1"),
    (unknown_column, "Expected the column year_of_birth of the data permit in the table person, found none; there are"),
    (filter_of_another_type, "Expected row filter and treatments of stay to fit"),
    (missing_source, "Expected a readable source at"),
    (empty_folder, "found neither"),
    (mixed_folder, "found both kinds"),
    (two_files_of_one_table, "Expected one table person in the source, found 2"),
    (empty_file, "Expected a header line in person.csv"),
    (broken_file, "Expected the table person to be readable"),
    (not_a_database, "Expected a DuckDB file at warehouse.duckdb"),
    (unreachable_server, "Expected a connection to the PostgreSQL database"),
    (missing_opt_outs, "Expected the opt-out list warehouse.csv, found: No such file"),
    (unreadable_opt_out, "Expected a person id (integer) in entry 3 of warehouse.csv"),
    (wide_opt_outs, "Expected one column with a header in warehouse.csv"),
    (missing_key, "Expected a pseudonym key of the domain stays"),
    (key_for_everybody, "Expected mode 0600 on the pseudonym key of stays, found 0644"),
    (short_key, "Expected 32 bytes in the pseudonym key of stays, found 5"),
]


@pytest.mark.parametrize(("spoil", "words"), CASES, ids=[c[0].__name__ for c in CASES])
def test_a_refused_build_says_why_is_recorded_and_leaves_nothing(house, small_source, spoil, words) -> None:
    house.register(small_source)
    spoil(house, small_source)
    reasons = house.build()
    assert any(words in reason for reason in reasons), reasons
    assert not [r for r in reasons if "Jeanne" in r or "s3cret" in r]
    assert house.left_behind() == []
    records = [(kind, data) for kind, data in house.records() if kind.startswith("extract:")]
    assert [kind for kind, _ in records] == ["extract:started", "extract:refused"]
    assert records[1][1]["reasons"] == list(reasons)


def test_nothing_is_built_while_the_audit_log_is_away(house, small_source) -> None:
    house.register(small_source)
    house.daemon.terminate()
    house.daemon.wait(60)
    assert house.build() == (
        "Expected the audit log to take the record, found it away. Start the audit daemon, then build again.",
    )
    assert house.left_behind() == []


def test_an_existing_version_is_never_replaced(house, small_source) -> None:
    house.register(small_source)
    assert house.build() == ()
    before = (house.extract() / "extract.duckdb").read_bytes()
    assert "Expected no extract v1 yet" in house.build()[0]
    assert (house.extract() / "extract.duckdb").read_bytes() == before
    assert house.left_behind() == ["v1"]


def test_two_builds_of_a_project_do_not_run_at_once(house, small_source) -> None:
    house.register(small_source)
    with building(house.settings.projects_dir / "stays" / "extracts", "v1"):
        assert "Expected no other build of this project" in house.build("v2")[0]
    assert house.build("v2") == ()

"""Extracts from four kinds of source: the same result, and nothing in it that the permit does not name."""

from __future__ import annotations

import stat
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from enclave.catalogue import find_manifest, list_tables, read_manifest
from enclave.domain.ids import ExtractVersion, ProjectId
from enclave.extracts.check import check_extract
from enclave.extracts.outline import read_source_outline
from enclave.extracts.producer import read_pseudonym_key
from enclave.extracts.pseudonyms import date_shift, identifier_pseudonym, person_pseudonym

RAW_TEXTS = [b"FAMILYNAME-", b"TOWNNAME-", b"STAYNUMBER-", b"DIARYTEXT-", b"HIDDEN-ROW", b"70000000000000000"]


def contents(extract: Path) -> dict[str, tuple[list[tuple[str, str]], list[tuple[object, ...]]]]:
    """Table → (columns with types, rows in the order of the file)."""
    with duckdb.connect(str(extract / "extract.duckdb"), read_only=True) as connection:
        tables = [r[0] for r in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
        return {
            table: (
                [(r[0], r[1]) for r in connection.execute(f'DESCRIBE "{table}"').fetchall()],
                connection.execute(f'FROM "{table}"').fetchall(),
            )
            for table in tables
        }


def test_all_kinds_of_source_give_the_same_extract(house, warehouse) -> None:
    found = {}
    for number, (kind, location) in enumerate(warehouse.items(), start=1):
        house.register(location)
        assert house.build(f"v{number}") == ()
        found[kind] = contents(house.extract(f"v{number}"))
        manifest = read_manifest(house.extract(f"v{number}") / "manifest.json")
        assert manifest.source_kind == kind
        assert (manifest.opt_outs_listed, manifest.opt_outs_matched) == (2, 2)
    assert found["csv"] == found["duckdb"]
    assert found["parquet"] == found["duckdb"]
    assert found["postgresql"] == found["duckdb"]


def test_all_kinds_of_source_tell_the_catalogue_the_same_columns(house, warehouse) -> None:
    found = {kind: read_source_outline(house.settings, location) for kind, location in warehouse.items()}
    assert [told for told, _tables in found.values()] == list(found)
    names = {
        kind: [(table.name, [column.name for column in table.columns]) for table in tables]
        for kind, (_told, tables) in found.items()
    }
    assert all(tables == names["duckdb"] for tables in names.values())
    assert {table.name for table in found["duckdb"][1]} >= {"stay"}
    assert found["postgresql"][1] == found["duckdb"][1]


def test_only_what_the_permit_names_arrives(house, warehouse) -> None:
    house.register(warehouse["duckdb"])
    assert house.build() == ()
    manifest = read_manifest(house.extract() / "manifest.json")
    tables = contents(house.extract())
    assert {name: [c for c, _ in columns] for name, (columns, _) in tables.items()} == {
        "person": ["person_id", "birth_year", "town"],
        "stay": ["stay_id", "person_id", "mother_id", "start_date", "end_date", "started_at", "month", "cost", "ward"],
        "concept": ["code", "label", "valid_from"],
    }
    person, stay, _ = manifest.tables
    assert manifest.dropped_tables == ("secret",)
    assert person.dropped_columns == ("NAME",)
    assert stay.dropped_columns == ("note",)
    assert (person.source_rows, person.rows, person.dropped_rows_opt_out) == (60, 58, 2)
    dropped = stay.dropped_rows_filter + stay.dropped_rows_no_person + stay.dropped_rows_opt_out
    assert stay.dropped_rows_no_person > 0
    assert stay.rows == len(tables["stay"][1]) == stay.source_rows - dropped
    assert {row[8] for row in tables["stay"][1]} == {"north", "south"}
    assert manifest.people == 58


def test_people_who_opted_out_are_in_no_table_and_in_no_second_column(house, warehouse) -> None:
    house.register(warehouse["duckdb"])
    assert house.build() == ()
    key = read_pseudonym_key(house.settings, "stays")
    tables = contents(house.extract())
    persons = {row[0] for row in tables["person"][1]}
    absent = {person_pseudonym(key, "7000000000000000003"), person_pseudonym(key, "-7000000000000000008")}
    assert not absent & {value for _, rows in tables.values() for row in rows for value in row}
    assert {row[1] for row in tables["stay"][1]} <= persons
    assert {row[2] for row in tables["stay"][1]} == {None, person_pseudonym(key, "7000000000000000005")}


def test_values_are_treated_as_the_permit_says(house, warehouse) -> None:
    """Every row of the extract is the treated row of the source: intervals of one person stay, dates move together."""
    house.register(warehouse["duckdb"])
    assert house.build() == ()
    key = read_pseudonym_key(house.settings, "stays")
    with duckdb.connect(warehouse["duckdb"], read_only=True) as connection:
        rows = connection.execute(
            "SELECT stay_id, person_id, start_date, end_date, started_at, month, cost, ward FROM stay"
        ).fetchall()
    source = {identifier_pseudonym(key, "stays", str(row[0])): row for row in rows}
    for stay_id, person, _, start, end, started_at, month, cost, ward in contents(house.extract())["stay"][1]:
        raw = source[stay_id]
        shift = timedelta(days=date_shift(key, str(raw[1]), 100))
        assert person == person_pseudonym(key, str(raw[1]))
        assert (start, end, started_at) == (raw[2] + shift, raw[3] + shift, raw[4] + shift)
        assert start != raw[2]
        assert month == raw[5].replace(day=1)
        assert (cost, ward) == (min(raw[6], 900), raw[7])
        assert raw[2] >= date(2010, 1, 1)
    births = {row[1] for row in contents(house.extract())["person"][1]}
    assert all(year % 5 == 0 for year in births)


def test_no_raw_identifier_is_in_the_bytes_of_the_extract(house, warehouse) -> None:
    house.register(warehouse["duckdb"])
    assert house.build(parquet=True) == ()
    for file in house.extract().iterdir():
        content = file.read_bytes()
        assert [text for text in RAW_TEXTS if text in content] == [], file.name
    values = {str(v) for _, rows in contents(house.extract()).values() for row in rows for v in row}
    assert not [v for v in values if any(text.decode() in v for text in RAW_TEXTS)]


def test_the_order_of_rows_is_not_the_order_of_the_source(house, warehouse) -> None:
    house.register(warehouse["duckdb"])
    assert house.build() == ()
    persons = [row[0] for row in contents(house.extract())["person"][1]]
    assert persons == sorted(persons)


def test_an_extract_is_sealed_and_recorded_before_it_exists(house, warehouse) -> None:
    house.register(warehouse["duckdb"])
    assert house.build(parquet=True) == ()
    manifest = read_manifest(house.extract() / "manifest.json")
    assert sorted(f.path for f in manifest.files) == [
        "concept.parquet",
        "extract.duckdb",
        "person.parquet",
        "stay.parquet",
    ]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o444 for p in house.extract().iterdir())
    assert [p.name for p in house.extract().iterdir() if p.name.endswith(".wal")] == []
    records = [(kind, data) for kind, data in house.records() if kind.startswith("extract:")]
    assert [kind for kind, _ in records] == ["extract:started", "extract:built"]
    assert records[1][1]["files_sha256"] == [f.sha256 for f in manifest.files]
    assert records[1][1]["permit_sha256"] == manifest.permit_sha256


def test_the_same_key_gives_the_same_pseudonyms_in_the_next_version(house, warehouse) -> None:
    house.register(warehouse["duckdb"])
    assert house.build("v1") == ()
    assert house.build("v2") == ()
    assert contents(house.extract("v1")) == contents(house.extract("v2"))


def test_a_changed_byte_is_found(house, warehouse) -> None:
    house.register(warehouse["duckdb"])
    assert house.build() == ()
    project, version = ProjectId("stays"), ExtractVersion("v1")
    assert check_extract(house.settings, project, version) == []
    file = house.extract() / "extract.duckdb"
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    (house.extract() / "more.csv").write_text("x")
    problems = check_extract(house.settings, project, version)
    assert len(problems) == 2
    assert "Expected extract.duckdb with SHA-256" in problems[0]
    assert "found more.csv" in problems[1]
    assert "found: No such file" in check_extract(house.settings, project, ExtractVersion("v9"))[0]


def test_the_catalogue_lists_tables_with_treatments(house, warehouse) -> None:
    house.register(warehouse["duckdb"])
    assert house.build() == ()
    manifest = find_manifest(house.settings, ProjectId("stays"), ExtractVersion("v1"))
    assert manifest is not None
    person = list_tables(manifest)[0]
    assert (person["name"], person["rows"]) == ("person", 58)
    assert person["columns"][0] == {"name": "person_id", "type": "VARCHAR", "treatment": "person-pseudonym"}
    assert find_manifest(house.settings, ProjectId("stays"), ExtractVersion("v2")) is None
    assert find_manifest(house.settings, ProjectId("../stays"), ExtractVersion("v1")) is None


def test_a_file_with_a_header_only_gives_an_empty_table(house, tmp_path) -> None:
    (tmp_path / "person.csv").write_text("person_id,birth_year,town\n5,1950,Dijon\n6,1961,Tours\n")
    columns = "stay_id,person_id,mother_id,start_date,end_date,started_at,month,cost,ward"
    (tmp_path / "stay.csv").write_text(columns + "\n")
    (tmp_path / "concept.csv").write_text("code,label,valid_from\n1,a,1970-01-01\n")
    house.register(tmp_path, opt_outs=("006",))
    assert house.build() == ()
    tables = contents(house.extract())
    assert len(tables["person"][1]) == 1
    assert tables["stay"][1] == []
    assert dict(tables["stay"][0])["start_date"] == "DATE"


def test_parts_of_a_parquet_table_are_one_table(house, warehouse, tmp_path) -> None:
    (tmp_path / "stay.parquet").mkdir()
    for table in ("person", "concept"):
        (tmp_path / f"{table}.parquet").write_bytes((Path(warehouse["parquet"]) / f"{table}.parquet").read_bytes())
    with duckdb.connect(warehouse["duckdb"], read_only=True) as connection:
        for part, rows in enumerate(("n < 300", "n >= 300")):
            query = f"SELECT * EXCLUDE n FROM (SELECT *, row_number() OVER () AS n FROM stay) WHERE {rows}"
            connection.execute(f"COPY ({query}) TO '{tmp_path}/stay.parquet/part-{part}.parquet'")
    house.register(warehouse["parquet"])
    assert house.build("v1") == ()
    house.register(tmp_path)
    assert house.build("v2") == ()
    assert contents(house.extract("v1")) == contents(house.extract("v2"))


@pytest.mark.parametrize("text", ["P-00{}", " {} "])
def test_people_may_be_named_by_text(house, tmp_path, text: str) -> None:
    lines = [f'"{text.format(n)}",{1940 + n},Dijon' for n in range(1, 9)]
    quoted = ["person_id,birth_year,town", *lines]
    (tmp_path / "person.csv").write_text("\n".join(quoted) + "\n")
    (tmp_path / "stay.csv").write_text(
        "stay_id,person_id,mother_id,start_date,end_date,started_at,month,cost,ward\n"
        f'1,"{text.format(2)}",,2015-01-01,2015-01-02,2015-01-01 10:00:00,2015-01-01,5,north\n'
        f'2,"{text.format(3)}",,2015-01-01,2015-01-02,2015-01-01 10:00:00,2015-01-01,5,north\n'
    )
    (tmp_path / "concept.csv").write_text("code,label,valid_from\n1,a,1970-01-01\n")
    house.register(tmp_path, opt_outs=(text.format(3).strip(),))
    assert house.build() == ()
    tables = contents(house.extract())
    assert (len(tables["person"][1]), len(tables["stay"][1])) == (7, 1)

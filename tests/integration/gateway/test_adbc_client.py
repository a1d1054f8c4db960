"""The unmodified ADBC client against a running gateway: everything a researcher's tools do."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_manager import Error

REPOSITORY = Path(__file__).resolve().parents[3]


def test_rows_arrive_in_every_shape(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT person_id, label, seen_on FROM person ORDER BY person_id LIMIT 2")
        assert cursor.fetchall() == [(0, "name-0", date(2020, 1, 1)), (1, "name-1", date(2020, 1, 2))]
        cursor.execute("SELECT count(*) AS n FROM visit")
        assert cursor.fetch_arrow_table().to_pydict() == {"n": [5000]}
        cursor.execute("SELECT * FROM visit")
        with cursor.fetch_record_batch() as reader:
            assert sum(batch.num_rows for batch in reader) == 5000


def test_enumerations_and_nested_values_arrive(gateway: Any) -> None:
    sql = "SELECT sex, {'s': sex} AS t, [sex] AS l FROM visit WHERE visit_id = 1"
    assert gateway.fetch(sql) == [("M", {"s": "M"}, ["M"])]


def test_an_empty_result_keeps_its_columns(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT person_id FROM person WHERE false")
        table = cursor.fetch_arrow_table()
    assert (table.num_rows, table.column_names) == (0, ["person_id"])


def test_parameters_are_bound(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT person_id FROM person WHERE label = ? AND seen_on < ?", ("name-7", date(2021, 1, 1)))
        assert cursor.fetchall() == [(7,)]
        cursor.execute("SELECT person_id FROM person WHERE label = $1", ("name-8",))
        assert cursor.fetchall() == [(8,)]


def test_a_prepared_statement_runs_again_with_other_values(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        for number in (3, 4):
            cursor.execute("SELECT label FROM person WHERE person_id = ?", (number,))
            assert cursor.fetchall() == [(f"name-{number}",)]


def test_text_in_a_parameter_stays_text(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM person WHERE label = ?", ("x' OR '1'='1",))
        assert cursor.fetchall() == [(0,)]


def test_the_catalogue_is_that_of_the_extract(gateway: Any) -> None:
    with gateway.connect() as connection:
        (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        tables = catalog["catalog_db_schemas"][0]["db_schema_tables"]
        assert {table["table_name"] for table in tables} == {"person", "visit"}
        columns = next(t for t in tables if t["table_name"] == "visit")["table_columns"]
        assert [column["column_name"] for column in columns] == ["visit_id", "person_id", "sex"]
        only = connection.adbc_get_objects(depth="tables", table_name_filter="vis%").read_all().to_pylist()
        assert [t["table_name"] for t in only[0]["catalog_db_schemas"][0]["db_schema_tables"]] == ["visit"]
        assert connection.adbc_get_table_schema("person").field("seen_on").type == pa.date32()
        assert connection.adbc_get_table_types() == ["BASE TABLE"]
        assert connection.adbc_get_info()["vendor_name"] == "Enclave gateway"


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("SHOW TABLES", ("person",)),
        ("DESCRIBE person", ("person_id", "BIGINT", "YES", None, None, None)),
        ("SHOW visit", ("visit_id", "BIGINT", "YES", None, None, None)),
        ("VALUES (1, 'a')", (1, "a")),
        ("FROM range(3)", (0,)),
        ("WITH x AS (SELECT 5 AS a) FROM x", (5,)),
    ],
)
def test_helper_statements_work(gateway: Any, sql: str, first: tuple[Any, ...]) -> None:
    assert gateway.fetch(sql)[0] == first


def test_summarize_and_explain_work(gateway: Any) -> None:
    assert [row[0] for row in gateway.fetch("SUMMARIZE visit")] == ["visit_id", "person_id", "sex"]
    assert "SEQ SCAN" in str(gateway.fetch("EXPLAIN SELECT label FROM person")).upper()


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT * FROM lung", "It holds: person, visit"),
        ("EXPLAIN SELECT * FROM lung", "It holds: person, visit"),
        ("SELECT read_text('x')", "read_text is not available"),
        ("DELETE FROM person", "read-only"),
        ("SELECT nope FROM person", "nope"),
        ("SELEC 1", "Syntax error near character 1"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT * FROM " + "(" * 5000 + "person" + ")" * 5000, "could not be parsed within"),
    ],
)
def test_refusals_are_sentences_without_tracebacks(gateway: Any, sql: str, sentence: str) -> None:
    with pytest.raises(Error, match=sentence) as failure:
        gateway.fetch(sql)
    assert "Traceback" not in str(failure.value)
    assert ".py" not in str(failure.value)


def test_an_error_quotes_no_value_of_a_row(gateway: Any) -> None:
    with pytest.raises(Error, match="value from column label cannot be converted to INT32") as failure:
        gateway.fetch("SELECT label::INTEGER FROM person")
    assert "name-" not in str(failure.value)


def test_ingest_and_updates_are_refused(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(Error, match="read-only"):
            cursor.adbc_ingest("person", pa.table({"a": [1]}))
        with pytest.raises(Error, match="read-only"):
            cursor.execute("UPDATE person SET label = 'x'")


def test_partitions_can_be_read_apart(gateway: Any) -> None:
    with gateway.connect() as connection, connection.cursor() as cursor:
        partitions, _ = cursor.adbc_execute_partitions("SELECT count(*) FROM visit")
        cursor.adbc_read_partition(partitions[0])
        assert cursor.fetchall() == [(5000,)]


def test_the_example_script_of_the_documentation_runs(gateway: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(gateway.token())
    script = REPOSITORY / "docs" / "examples" / "adbc_query.py"
    env = {
        **os.environ,
        "ENCLAVE_TOKEN_FILE": str(tmp_path / "token"),
        "ENCLAVE_GATEWAY": f"grpc+unix://{gateway.socket()}",
    }
    done = subprocess.run(
        [sys.executable, str(script), "SELECT count(*) AS people FROM person"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "people" in done.stdout and "1000" in done.stdout
    lines = [line for line in script.read_text().splitlines() if line.strip()]
    assert len(lines) <= 15

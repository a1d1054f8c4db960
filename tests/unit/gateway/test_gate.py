"""The statement gate as a table: what a researcher may ask, and what gets a sentence instead."""

from __future__ import annotations

from functools import cache

import duckdb
import pytest

from enclave.gateway.gate import ALLOWED_FUNCTIONS, ExaminedStatement, StatementRefusedError, examine

TABLES = frozenset({"person", "visit", "Drug_Exposure"})


@cache
def parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def look_at(sql: str) -> ExaminedStatement:
    row = parser().execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    assert row is not None
    return examine(row[0], TABLES)


ALLOWED = [
    ("SELECT 1", ()),
    ("SELECT * FROM person", ("person",)),
    ("select * from PERSON", ("person",)),
    ("FROM person", ("person",)),
    ("TABLE person", ("person",)),
    ("FROM drug_exposure SELECT count(*)", ("Drug_Exposure",)),
    ('SELECT * FROM "person"', ("person",)),
    ("SELECT * FROM main.person", ("person",)),
    ("SELECT * FROM extract.main.person", ("person",)),
    ("SELECT * FROM extract.person", ("person",)),
    ("SELECT p.* FROM person p JOIN visit v USING (person_id)", ("person", "visit")),
    ("SELECT * FROM person p, LATERAL (SELECT * FROM visit v WHERE v.person_id = p.person_id) x", ("person", "visit")),
    ("SELECT * FROM person NATURAL JOIN visit", ("person", "visit")),
    ("SELECT * FROM person ASOF JOIN visit USING (person_id)", ("person", "visit")),
    ("SELECT * FROM person SEMI JOIN visit USING (person_id)", ("person", "visit")),
    ("SELECT * FROM person POSITIONAL JOIN visit", ("person", "visit")),
    ("SELECT * FROM person WHERE person_id IN (SELECT person_id FROM visit)", ("person", "visit")),
    ("SELECT exists(FROM visit), (SELECT max(person_id) FROM person)", ("person", "visit")),
    ("SELECT array(SELECT person_id FROM person)", ("person",)),
    ("SELECT 1 UNION ALL SELECT person_id FROM person INTERSECT SELECT 3 EXCEPT SELECT 4", ("person",)),
    ("VALUES (1, 2), (3, 4)", ()),
    ("SELECT * FROM (VALUES (1)) v(a)", ()),
    ("WITH a AS (SELECT * FROM person), b AS (SELECT * FROM a) SELECT * FROM b", ("person",)),
    ("WITH a AS MATERIALIZED (SELECT 1) SELECT * FROM a", ()),
    ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT * FROM r", ()),
    ("WITH person AS (SELECT * FROM person) SELECT * FROM person", ("person",)),
    ("SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) JOIN visit ON true", ("visit",)),
    ("SELECT count(*), sum(a) FILTER (a > 1), list(a ORDER BY b), approx_quantile(a, 0.5) FROM person", ("person",)),
    ("SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM person", ("person",)),
    ("SELECT sum(a) OVER w FROM person WINDOW w AS (ORDER BY b)", ("person",)),
    ("SELECT a, count(*) FROM person GROUP BY ALL HAVING count(*) > 10 ORDER BY ALL LIMIT 5 OFFSET 2", ("person",)),
    ("SELECT DISTINCT ON (a) a FROM person LIMIT 10%", ("person",)),
    ("SELECT a FROM person GROUP BY GROUPING SETS ((a), ()) QUALIFY row_number() OVER () = 1", ("person",)),
    ("SELECT grouping(a) FROM person GROUP BY ROLLUP (a)", ("person",)),
    ("SELECT CASE WHEN a THEN 1 ELSE 2 END, a BETWEEN 1 AND 2, a IN (1, 2), NOT a, a IS NULL FROM person", ("person",)),
    ("SELECT CAST(a AS INTEGER), a::DECIMAL(3, 2), TRY_CAST(a AS DATE), a::STRUCT(x INT) FROM person", ("person",)),
    ("SELECT a LIKE 'x%', a ILIKE 'x', a NOT LIKE 'y', a SIMILAR TO 'z', a ~ 'q', a GLOB 'r' FROM person", ("person",)),
    (
        "SELECT date_trunc('month', d), extract(year FROM d), d + INTERVAL 1 DAY, strftime(d, '%Y') FROM visit",
        ("visit",),
    ),
    ("SELECT d AT TIME ZONE 'UTC', current_date, now(), today() FROM visit", ("visit",)),
    ("SELECT substring(a FROM 1 FOR 2), position('x' IN a), trim(BOTH FROM a), overlay(a PLACING 'b' FROM 1)", ()),
    ("SELECT {'a': 1}, MAP {1: 2}, [1, 2][1], s.f, [1, 2, 3][1:2], row(1, 2), array[1]", ()),
    ("SELECT list_transform([1, 2], lambda x: x + 1), [x * 2 FOR x IN [1, 2]]", ()),
    ("SELECT a::JSON ->> 'k', json_extract(a, '$.k'), to_json(b) FROM person", ("person",)),
    ("SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) FROM person", ("person",)),
    ("SELECT COLUMNS('a.*') FROM person", ("person",)),
    ("SELECT unnest([1, 2]), unnest(s, recursive := true) FROM person", ("person",)),
    ("SELECT * FROM range(10) r(i)", ()),
    ("SELECT * FROM generate_series(1, 10)", ()),
    ("SELECT * FROM unnest([1, 2]) WITH ORDINALITY", ()),
    ("SELECT * FROM person, unnest(person.l)", ("person",)),
    ("SELECT * FROM json_each('{}')", ()),
    ("SELECT * FROM person PIVOT (sum(a) FOR b IN (1, 2))", ("person",)),
    ("SELECT * FROM (UNPIVOT person ON a, b)", ("person",)),
    ("SELECT * FROM person TABLESAMPLE 10%", ("person",)),
    ("SELECT * FROM person USING SAMPLE 10 ROWS", ("person",)),
    ("SELECT ?, $1, $2::INTEGER", ()),
    ("SELECT a COLLATE NOCASE, #1, coalesce(a, b), nullif(a, b), TRY(a) FROM person", ("person",)),
    ("DESCRIBE person", ("person",)),
    ("DESCRIBE SELECT * FROM person", ("person",)),
    ("SUMMARIZE visit", ("visit",)),
    ("SUMMARIZE SELECT a FROM visit", ("visit",)),
    ("SHOW person", ("person",)),
    ("SHOW TABLES", ()),
    ("SHOW ALL TABLES", ()),
    ("SHOW ALL", ()),
    ("SELECT * FROM (SHOW TABLES)", ()),
    ("SELECT table_name FROM information_schema.tables", ()),
    ("SELECT column_name FROM information_schema.columns WHERE table_name = 'person'", ()),
    ("SELECT regexp_replace(a, 'x', 'y'), lower(a), md5(a), levenshtein(a, b) FROM person -- a comment", ("person",)),
    ("/* first */ SELECT corr(a, b), regr_slope(a, b), median(a), mode(a), stddev(a) FROM person;", ("person",)),
    ("SELECT main.lower('A')", ()),
]

REFUSED = [
    # other tables
    ("SELECT * FROM secret", "table"),
    ("SELECT * FROM other.main.person", "table"),
    ("SELECT * FROM other.person", "table"),
    ("SELECT * FROM temp.person", "table"),
    ("SELECT * FROM person JOIN secret USING (a)", "table"),
    ("SELECT (SELECT max(a) FROM secret)", "table"),
    ("SELECT * FROM person WHERE a IN (FROM secret)", "table"),
    ("SELECT 1 UNION SELECT * FROM secret", "table"),
    ("SELECT a FROM person ORDER BY (SELECT 1 FROM secret)", "table"),
    ("SELECT a FROM person LIMIT (SELECT 1 FROM secret)", "table"),
    ("SELECT a FROM person GROUP BY (SELECT 1 FROM secret)", "table"),
    ("SELECT sum(a) FILTER ((SELECT true FROM secret)) FROM person", "table"),
    ("SELECT sum(a) OVER (ORDER BY (SELECT 1 FROM secret)) FROM person", "table"),
    ("SELECT * REPLACE ((SELECT 1 FROM secret) AS a) FROM person", "table"),
    ("SELECT list_transform([1], lambda x: (SELECT 1 FROM secret))", "table"),
    ("SELECT * FROM range((SELECT 1 FROM secret))", "table"),
    ("SELECT * FROM person PIVOT (sum(a) FOR b IN (SELECT a FROM secret))", "syntax"),
    ("SELECT * FROM person PIVOT (sum((SELECT 1 FROM secret)) FOR b IN (1))", "table"),
    ("VALUES ((SELECT 1 FROM secret))", "table"),
    ("DESCRIBE secret", "table"),
    ("SUMMARIZE secret", "table"),
    ("SHOW secret", "table"),
    # a WITH name counts only where DuckDB sees it
    ("WITH secret AS (SELECT * FROM secret) SELECT * FROM secret", "table"),
    ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "table"),
    ("SELECT * FROM (WITH hidden AS (SELECT 1) SELECT * FROM hidden), hidden", "table"),
    ("WITH duckdb_settings AS (SELECT 1) SELECT * FROM duckdb_settings", "cte-name"),
    ("WITH a AS (SELECT 1) SELECT * FROM main.a", "table"),
    # files
    ("SELECT * FROM 'data.parquet'", "table"),
    ("SELECT * FROM '/etc/passwd'", "table"),
    ("SELECT * FROM 'https://example.org/x.csv'", "table"),
    ('SELECT * FROM "x.csv"', "table"),
    *[
        (f"SELECT * FROM {name}('x')", "table-function")
        for name in (
            "read_csv",
            "read_csv_auto",
            "read_parquet",
            "parquet_scan",
            "read_json",
            "read_ndjson_objects",
            "read_text",
            "read_blob",
            "read_duckdb",
            "sniff_csv",
            "glob",
            "parquet_metadata",
            "parquet_schema",
            "parquet_kv_metadata",
            "parquet_bloom_probe",
        )
    ],
    # the catalogue, settings, logs and other databases
    *[
        (f"SELECT * FROM {name}()", "table-function")
        for name in (
            "duckdb_tables",
            "duckdb_settings",
            "duckdb_secrets",
            "duckdb_views",
            "duckdb_logs",
            "duckdb_functions",
            "duckdb_databases",
            "duckdb_extensions",
            "duckdb_temporary_files",
            "duckdb_prepared_statements",
            "pragma_version",
            "pragma_database_size",
            "pragma_platform",
            "checkpoint",
            "enable_logging",
            "truncate_duckdb_logs",
            "test_all_types",
            "pandas_scan",
            "seq_scan",
            "icu_calendar_names",
        )
    ],
    ("SELECT * FROM query('SELECT 1')", "table-function"),
    ("SELECT * FROM query_table('person')", "table-function"),
    ("SELECT * FROM json_execute_serialized_sql('{}')", "table-function"),
    ("SELECT * FROM pragma_table_info('person')", "table-function"),
    ("SELECT * FROM pragma_storage_info('person')", "table-function"),
    ("SELECT * FROM system.main.range(3)", "table-function"),
    ("SELECT * FROM duckdb_tables", "table"),
    ("SELECT * FROM sqlite_master", "table"),
    ("SELECT * FROM pg_catalog.pg_tables", "table"),
    ("SELECT * FROM information_schema.character_sets", "table"),
    ("SHOW DATABASES", "show"),
    ("SHOW FUNCTIONS", "table"),
    ("SHOW TABLES FROM main", "show"),
    # functions
    *[
        (f"SELECT {name}('x')", "function")
        for name in (
            "getenv",
            "current_setting",
            "getvariable",
            "nextval",
            "write_log",
            "error",
            "parse_duckdb_log_message",
            "json_serialize_plan",
            "json_serialize_sql",
            "pg_get_viewdef",
            "sleep_ms",
            "pg_sleep",
            "setseed",
            "no_such_function",
            "which_secret",
            "read_csv",
        )
    ],
    ("SELECT has_table_privilege('u', 't', 'SELECT')", "function"),
    ("SELECT other.lower('A')", "function"),
    ("SELECT current_query()", "function"),
    ("SELECT inet_server_addr()", "function"),
    # everything that is not a query
    *[
        (statement, "statement")
        for statement in (
            "INSERT INTO person VALUES (1)",
            "UPDATE person SET a = 1",
            "DELETE FROM person",
            "CREATE TABLE x AS SELECT 1",
            "CREATE VIEW x AS SELECT 1",
            "CREATE MACRO sum(a) AS 1",
            "CREATE TEMP TABLE x (a INT)",
            "DROP TABLE person",
            "ALTER TABLE person ADD COLUMN b INT",
            "COPY person TO 'x.csv'",
            "COPY (SELECT 1) TO 'x.parquet'",
            "EXPORT DATABASE 'x'",
            "IMPORT DATABASE 'x'",
            "ATTACH 'x.duckdb'",
            "ATTACH ':memory:' AS m",
            "DETACH extract",
            "USE main",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET threads = 1",
            "SET VARIABLE a = 1",
            "RESET threads",
            "PRAGMA table_info('person')",
            "PRAGMA add_parquet_key('k', 'x')",
            "CALL pragma_version()",
            "BEGIN",
            "COMMIT",
            "CHECKPOINT",
            "VACUUM",
            "ANALYZE",
            "PREPARE q AS SELECT 1",
            "EXECUTE q",
            "DEALLOCATE q",
            "CREATE SECRET s (TYPE s3)",
            "MERGE INTO person USING visit ON true WHEN MATCHED THEN DELETE",
            "PIVOT person ON a USING sum(b)",
            "EXPLAIN SELECT 1",
            "COMMENT ON TABLE person IS 'x'",
        )
    ],
    ("WITH x AS (INSERT INTO person VALUES (1) RETURNING *) SELECT * FROM x", "writes"),
    ("WITH x AS (DELETE FROM person RETURNING *) SELECT * FROM x", "writes"),
    ("WITH x AS (UPDATE person SET a = 1 RETURNING *) SELECT * FROM x", "writes"),
    ("SELECT * FROM person AT (VERSION => 1)", "at-clause"),
    # not one statement
    ("", "one-statement"),
    ("-- nothing", "one-statement"),
    ("SELECT 1; SELECT 2", "one-statement"),
    ("SELECT 1; DROP TABLE person", "statement"),
    ("SELEC 1", "syntax"),
    ("SELECT FROM WHERE", "syntax"),
    ("SELECT " + "(" * 2000 + "1" + ")" * 2000, "syntax"),
    ("SELECT default FROM person", "unknown-expression"),
]


@pytest.mark.parametrize(("sql", "tables"), ALLOWED)
def test_it_lets_questions_about_the_extract_through(sql: str, tables: tuple[str, ...]) -> None:
    assert look_at(sql).tables == tables


@pytest.mark.parametrize(("sql", "rule"), REFUSED, ids=[sql[:60] for sql, _ in REFUSED])
def test_it_refuses_with_the_rule_that_applies(sql: str, rule: str) -> None:
    with pytest.raises(StatementRefusedError) as refusal:
        look_at(sql)
    assert refusal.value.rule == rule
    assert refusal.value.sentence.rstrip()[-1] in ".…)"


def test_an_unknown_table_is_answered_with_what_the_extract_holds() -> None:
    with pytest.raises(StatementRefusedError, match="It holds: Drug_Exposure, person, visit"):
        look_at("SELECT * FROM patients")


def test_unknown_node_kinds_are_refused() -> None:
    document = '{"error": false, "statements": [{"node": {"type": "FUTURE_NODE"}}]}'
    with pytest.raises(StatementRefusedError) as refusal:
        examine(document, TABLES)
    assert refusal.value.rule == "unknown-node"


def test_a_tree_deeper_than_python_can_walk_is_refused() -> None:
    document = '{"error": false, "statements": [{"node": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}]}"
    with pytest.raises(StatementRefusedError) as refusal:
        examine(document, TABLES)
    assert refusal.value.rule == "too-deep"


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("SELECT * FROM person WHERE a = 1", "select *  from person where a = 2", True),
        ("SELECT * FROM person WHERE a = 'x'", "SELECT * FROM person WHERE a = 'another'", True),
        ("SELECT * FROM person WHERE a = 1", "SELECT * FROM person WHERE b = 1", False),
        ("SELECT * FROM person", "SELECT * FROM visit", False),
    ],
)
def test_the_template_hash_ignores_literals_and_layout(one: str, two: str, same: bool) -> None:
    assert (look_at(one).template_sha256 == look_at(two).template_sha256) is same


def test_the_function_list_holds_nothing_that_reads_or_waits() -> None:
    forbidden = {"getenv", "current_setting", "sleep_ms", "pg_sleep", "write_log", "nextval", "json_serialize_plan"}
    assert not forbidden & ALLOWED_FUNCTIONS
    assert not [name for name in ALLOWED_FUNCTIONS if name.startswith(("read_", "duckdb_", "pragma_", "__internal"))]

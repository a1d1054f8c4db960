"""Generated queries for the gate: names of the extract in every spelling, names that are not the extract's, WITH names
that shadow both, and every place of a query where another query fits.

Every query has two columns, so that most of what is generated binds and DuckDB has a plan to compare with.
"""

from __future__ import annotations

from hypothesis import strategies as st

OWN = ("person", "PERSON", '"person"', "main.person", "extract.person", "extract.main.person", '"extract".main."visit"')
OWN_PLAIN = ("visit", "person", "Visit")
FOREIGN = (
    *(
        "hidden",
        "token",
        "main.hidden",
        "extract.main.hidden",
        "lung.secret",
        "lung.main.secret",
        "lung.person",
        "other.person",
    ),
    *("extract.other.person", "noted", "temp.noted", "memory.main.noted", "hidden_view", "peek()", "main.peek()"),
    *("duckdb_tables()", "duckdb_tables", "pragma_version()", "sqlite_master", "read_text('x')", "'x.parquet'"),
    *("query('FROM hidden')", "query_table('hidden')", "system.main.range(3)", "glob('*')", "pg_catalog.pg_tables"),
)
WITH_NAMES = (
    *("person", "hidden", "a", "b", "visit", "secret", "noted", "duckdb_tables", "peek", "token"),
    *('"to\u212aen"', '"vi\u017fit"', '"PERSON"'),
)
"""The Kelvin sign and the long s: letters that fold to k and s elsewhere, but not in DuckDB."""
_COLUMNS = "k, v"


def _source(query: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Something after FROM."""
    plain = st.sampled_from((*OWN, *OWN_PLAIN, *OWN, *OWN_PLAIN, *FOREIGN, *WITH_NAMES))
    return st.one_of(
        plain.map(lambda name: f"{name} AS s{abs(hash(name)) % 97}"),
        plain,
        query.map(lambda q: f"({q}) AS q"),
        st.tuples(plain, plain).map(lambda p: f"{p[0]} AS l JOIN {p[1]} AS r ON l.k = r.k"),
        st.tuples(plain, plain).map(lambda p: f"{p[0]} AS l NATURAL JOIN {p[1]} AS r"),
        st.tuples(plain, plain).map(lambda p: f"{p[0]} AS l POSITIONAL JOIN {p[1]} AS r"),
        st.tuples(plain, plain).map(lambda p: f"{p[0]} AS l SEMI JOIN {p[1]} AS r USING (k)"),
        st.tuples(plain, plain).map(lambda p: f"{p[0]} AS l ASOF JOIN {p[1]} AS r ON l.k >= r.k"),
        st.tuples(plain, query).map(lambda p: f"{p[0]} AS l, LATERAL ({p[1]}) AS r"),
        query.map(lambda q: f"range((SELECT max(1) FROM ({q}))) AS r"),
        plain.map(lambda name: f"{name} PIVOT (sum(v) FOR k IN (1, 2)) AS p"),
        plain.map(lambda name: f"(UNPIVOT {name} ON k, v) AS u"),
        plain.map(lambda name: f"{name} TABLESAMPLE 50%"),
        st.sampled_from(("(DESCRIBE person)", "(SUMMARIZE visit)", "(SHOW TABLES)", "(SUMMARIZE hidden)")),
        st.just("(VALUES (1, 2)) AS c(k, v)"),
    )


def _value(query: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """An expression, often with a query inside."""
    one = query.map(lambda q: f"(SELECT max(1) FROM ({q}))")
    return st.one_of(
        st.sampled_from(("1", "2", "CASE WHEN true THEN 1 ELSE 2 END", "abs(-1)", "main.abs(-1)", "getenv('HOME')")),
        one,
        query.map(lambda q: f"EXISTS ({q})::INTEGER"),
        query.map(lambda q: f"((1, 2) IN ({q}))::INTEGER"),
        one.map(lambda v: f"list_transform([1], lambda x: {v})[1]"),
        one.map(lambda v: f"sum(1) OVER (ORDER BY {v})"),
        one.map(lambda v: f"coalesce(NULL, {v})"),
    )


def _select(query: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    value, source = _value(query), _source(query)
    tail = st.one_of(
        st.just(""),
        value.map(lambda v: f" WHERE {v} > 0"),
        value.map(lambda v: f" ORDER BY {v}"),
        query.map(lambda q: f" LIMIT (SELECT max(1) FROM ({q}))"),
        value.map(lambda v: f" QUALIFY {v} > 0"),
        value.map(lambda v: f" GROUP BY {v}"),
        value.map(lambda v: f" WINDOW w AS (ORDER BY {v})"),
    )
    return st.one_of(
        st.tuples(value, source, tail).map(lambda p: f"SELECT 1 AS k, {p[0]} AS v FROM {p[1]}{p[2]}"),
        source.map(lambda s: f"SELECT 1 AS k, count(*) AS v FROM {s}"),
        st.sampled_from((*OWN, *OWN_PLAIN, *FOREIGN, *WITH_NAMES)).map(lambda name: f"SELECT {_COLUMNS} FROM {name}"),
        st.sampled_from((*OWN_PLAIN, *WITH_NAMES)).map(lambda name: f"FROM {name} SELECT {_COLUMNS}"),
    )


def _with(query: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    clause = st.tuples(
        st.sampled_from(WITH_NAMES), st.sampled_from(("", " MATERIALIZED", " NOT MATERIALIZED")), query
    ).map(lambda p: f"{p[0]} AS{p[1]} ({p[2]})")
    plain = st.tuples(st.lists(clause, min_size=1, max_size=3), query).map(lambda p: f"WITH {', '.join(p[0])} {p[1]}")
    recursive = st.tuples(st.sampled_from(WITH_NAMES), query, query).map(
        lambda p: f"WITH RECURSIVE {p[0]}(k, v) AS (({p[1]}) UNION (SELECT k, v FROM {p[0]} WHERE k < 0)) {p[2]}"
    )
    return st.one_of(plain, recursive)


def _longer(query: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.tuples(query, st.sampled_from(("UNION ALL", "UNION", "EXCEPT", "INTERSECT ALL")), query)
    return st.one_of(
        _select(query), _with(query), _with(query), joined.map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"), _select(query)
    )


QUERIES: st.SearchStrategy[str] = st.recursive(
    _select(st.sampled_from(("SELECT k, v FROM person", "SELECT k, v FROM hidden", "VALUES (1, 2)"))),
    _longer,
    max_leaves=6,
)
STATEMENTS = st.tuples(st.sampled_from(("", "", "", "", "SUMMARIZE ", "DESCRIBE ")), QUERIES).map("".join)

"""Resource bombs: they pass the gate, which judges meaning and not cost. Time, memory and processes end them.

``fills`` names what a bomb uses up; those marked "sees no interrupt" are ended with their process.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bomb:
    """One row."""

    id: str
    sql: str
    fills: str


def _doubling(levels: int) -> str:
    """WITH clauses of which each names the one before twice."""
    first = "WITH c0 AS NOT MATERIALIZED (SELECT 1 AS a)"
    clauses = [f"c{n} AS NOT MATERIALIZED (SELECT x.a FROM c{n - 1} x, c{n - 1} y)" for n in range(1, levels)]
    return ", ".join([first, *clauses]) + f" SELECT count(*) FROM c{levels - 1}"


_TIME, _MEMORY, _DEAF = "time", "memory", "memory and time, sees no interrupt"
_ROWS = (
    ("SELECT length(repeat('x', 2_000_000_000))", _DEAF),
    ("SELECT length(lpad('x', 2_000_000_000, 'y'))", _DEAF),
    ("SELECT length(printf('%2000000000d', 1))", _DEAF),
    ("SELECT length(format('{:2000000000}', 1))", _DEAF),
    ("SELECT list_sum(range(1_000_000_000))", _DEAF),
    ("SELECT len(generate_series(1, 2_000_000_000))", _DEAF),
    ("SELECT levenshtein(repeat('a', 90_000), repeat('b', 90_000))", "time, sees no interrupt"),
    ("SELECT damerau_levenshtein(repeat('a', 50_000), repeat('b', 50_000))", "time, sees no interrupt"),
    (_doubling(40), "time to bind, sees no interrupt"),
    ("SELECT count(*) FROM range(100_000_000_000)", _TIME),
    ("SELECT count(*) FROM range(1_000_000) a(i), range(1_000_000) b(j) WHERE i * j % 7 = 3", _TIME),
    ("SELECT max(a.person_id * b.person_id * c.person_id) FROM person a, person b, person c, person d", _TIME),
    ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r", _TIME),
    ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r, range(3)) SELECT count(*) FROM r", _MEMORY),
    ("SELECT i, count(*) FROM range(2_000_000_000) t(i) GROUP BY i", _MEMORY),
    ("SELECT list(i) FROM range(5_000_000_000) t(i)", _MEMORY),
    ("SELECT string_agg(repeat('x', 1000), '') FROM range(100_000_000)", _MEMORY),
    ("SELECT i FROM range(3_000_000_000) t(i) ORDER BY hash(i) LIMIT 1 OFFSET 2_000_000_000", _MEMORY),
    ("SELECT row_number() OVER (ORDER BY hash(i)) FROM range(2_000_000_000) t(i)", _MEMORY),
    ("SELECT count(DISTINCT hash(i)) FROM range(3_000_000_000) t(i)", _MEMORY),
    ("SELECT a.i FROM range(200_000_000) a(i) JOIN range(200_000_000) b(i) ON hash(a.i) = hash(b.i)", _MEMORY),
    ("SELECT reservoir_quantile(i, 0.5, 1_000_000_000) FROM range(1_000_000_000) t(i)", _MEMORY),
    ("SELECT approx_top_k(hash(i), 900_000_000) FROM range(2_000_000_000) t(i)", _MEMORY),
    ("SELECT histogram(i) FROM range(2_000_000_000) t(i)", _MEMORY),
    ("SELECT repeat('x', 1_000_000) FROM range(100_000_000)", "the stream"),
    ("SELECT unnest(range(1_000_000)) FROM range(1_000_000)", "the stream"),
    ("SELECT list_transform(range(100_000_000), lambda x: list_transform(range(1000), lambda y: x * y))", _MEMORY),
    ("SELECT len(flatten(list_transform(range(100_000), lambda x: range(100_000))))", _MEMORY),
    ("SELECT array_to_string(range(500_000_000), ',')", _MEMORY),
    ("SELECT bit_count(repeat('1', 2_000_000_000)::BIT)", _DEAF),
    ("SELECT md5(repeat('x', 2_000_000_000))", _DEAF),
    ("SELECT base64(repeat('x', 1_500_000_000)::BLOB)", _DEAF),
    ("SELECT json_array_length(to_json(range(300_000_000)))", _MEMORY),
    ("SELECT factorial(30) * count(*) FROM range(50_000) a, range(50_000) b, range(50_000) c", _TIME),
    ("CREATE TABLE bomb AS SELECT i, repeat('x', 1000) AS t FROM range(100_000_000) r(i)", "the scratch space"),
    ("CREATE TEMP TABLE bomb AS SELECT i, repeat('x', 1000) AS t FROM range(100_000_000) r(i)", "memory and spill"),
)
BOMBS = tuple(Bomb(f"B{number:02}", sql, fills) for number, (sql, fills) in enumerate(_ROWS, 1))

"""All alert rules over a whole index, against one plain scan of the same Parquet file in the same run.

    python benchmarks/audit_alerts.py [--queries 1000000] [--repeat 3]

Synthetic records: per query an intent and an outcome, and one record in fifty of another kind; 300 persons over 365
days in office hours, 16 templates each; one of them asks about like populations, another one reads far more in the
last week. The plain scan reads the columns the rules read and adds them up. Prints seconds and the ratio per rule,
and writes ``benchmarks/results/audit_alerts.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from audit.alerts import RULES, evaluate, load_thresholds
from audit.alerts.clock import span_of
from audit.alerts.engine import apply_rule

RESULTS = Path(__file__).parent / "results" / "audit_alerts.json"
NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
PERSONS = 300
RECORDS = """
COPY (
    WITH queries AS (
        SELECT i, TIMESTAMP '2025-11-18 12:00:00' + to_seconds(CAST(i * 31536000.0 / $queries AS BIGINT)) AS moment,
               hash(i) AS h, hash(i + 1000000007) AS g
        FROM range($queries) t(i)
    ), spoken AS (
        SELECT i, date_trunc('day', moment) + to_seconds(25200 + (h % 36000)::BIGINT) AS moment,
               'u-' || (h % 300) AS actor, 'p-' || (h % 40) AS project,
               sha256('t' || ((h % 300) * 16 + CASE WHEN h % 300 = 7 THEN 0 ELSE g % 16 END)) AS template,
               'd' || (g % 8) || '@v1' AS dataset,
               (g % 2000) * CASE WHEN h % 300 = 8 AND moment > TIMESTAMP '2026-11-10' THEN 2000 ELSE 1 END AS rows,
               (g % 2000) * 64 AS bytes, CASE WHEN h % 300 = 7 THEN 500 + g % 400 ELSE g % 100000 END AS persons,
               (g % 900) AS min_cell, g
        FROM queries
    )
    SELECT row_number() OVER (ORDER BY "at", kind, i) - 1 AS "index", "at",
           CASE WHEN g % 50 = 0 AND kind = 0
                THEN ['query:refused', 'screen:shown', 'login:succeeded'][1 + ((g // 50) % 3)::BIGINT]
                WHEN kind = 0 THEN 'query:intent' ELSE 'query:outcome' END AS type,
           actor, NULL::VARCHAR AS subject, project, 'w-' || actor AS workspace, 'r-' || i AS request_id,
           CASE WHEN g % 150 = 0 THEN 'deny' ELSE 'allow' END AS decision, 'gateway' AS writer, 'b' AS boot, i AS seq,
           ['member'] AS policies, ['person'] AS tables, template, 'select' AS verb, dataset, 'ok' AS status,
           NULL::VARCHAR AS rule, CASE WHEN kind = 1 THEN rows::BIGINT END AS "rows",
           CASE WHEN kind = 1 OR g % 50 = 0 THEN bytes::BIGINT END AS bytes,
           CASE WHEN kind = 1 THEN 12 END::BIGINT AS duration_ms, CASE WHEN kind = 1 THEN 5 END::BIGINT AS "columns",
           CASE WHEN kind = 1 THEN persons::BIGINT END AS persons,
           CASE WHEN kind = 1 THEN min_cell::BIGINT END AS min_cell, true AS has_payload,
           '{"v":1,"pad":"' || repeat('x', 300) || i || '"}' AS leaf, sha256(i::VARCHAR) AS leaf_hash
    FROM (SELECT *, moment AS "at", 0 AS kind FROM spoken
          UNION ALL SELECT *, moment + to_milliseconds(40) AS "at", 1 AS kind FROM spoken)
    ORDER BY "index"
) TO '{file}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)
"""
SCAN = """
SELECT count(*), max("at"), sum("rows"), sum(bytes), sum(persons), sum(min_cell), count(actor), count(template),
       count(project), count(dataset), count(decision), count(type), max("index"), max(length(actor)),
       max(length(template)), max(length(type)), max(length(project))
FROM records
"""


def seconds(work: Callable[[], Any], repeat: int) -> float:
    """Median over ``repeat`` runs after one to warm up."""
    work()
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def measure(connection: duckdb.DuckDBPyConnection, repeat: int, lookback_days: int) -> dict[str, Any]:
    """Seconds of the scan, of each rule and of all; what they found."""
    shipped = load_thresholds()
    thresholds = replace(shipped, site=replace(shipped.site, lookback_days=lookback_days))
    span = span_of(thresholds, NOW)
    scan = seconds(lambda: connection.execute(SCAN).fetchall(), repeat)
    rules = {}
    for rule in RULES:
        taken = seconds(lambda rule=rule: apply_rule(connection, rule, thresholds, span), repeat)
        rules[rule.id] = {"seconds": round(taken, 3), "ratio": round(taken / scan, 2)}
    everything = seconds(lambda: evaluate(connection, thresholds, NOW), repeat)
    return {
        "lookback_days": lookback_days,
        "scan_seconds": round(scan, 3),
        "all_rules_seconds": round(everything, 3),
        "ratio": round(everything / scan, 2),
        "alerts": len(evaluate(connection, thresholds, NOW)),
        "rules": rules,
    }


def main() -> None:
    """Make the file, measure with the shipped span and over the whole year, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="enb") as place, duckdb.connect() as connection:
        file = Path(place) / "records.parquet"
        connection.execute(RECORDS.replace("{file}", str(file)).replace("$queries", str(given.queries)))
        connection.execute(f"CREATE VIEW records AS SELECT * FROM read_parquet('{file}')")
        result = {
            "records": 2 * given.queries,
            "megabytes": round(file.stat().st_size / 1e6, 1),
            "persons": PERSONS,
            "load": os.getloadavg()[0],
            "shipped": measure(connection, given.repeat, load_thresholds().site.lookback_days),
            "whole_year": measure(connection, given.repeat, 366),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    for name in ("shipped", "whole_year"):
        print(f"all rules : plain scan = {result[name]['ratio']} : 1 ({result[name]['lookback_days']} days looked at)")


if __name__ == "__main__":
    main()

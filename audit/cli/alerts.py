"""``enclave-audit alerts`` and ``alerts-rules``: the alert rules over a log's files, without a daemon."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audit.cli.options import EXIT_FAILED, AsJson, LogDir, fail, stamp
from audit.reader import LogUnreadable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from audit.alerts import Alert, AlertState, Thresholds

Own = Annotated[Path | None, typer.Option("--thresholds", help="The site's own thresholds (TOML).")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(alerts)
    app.command(name="alerts-rules")(alerts_rules)


def alerts(
    log_dir: LogDir,
    thresholds: Own = None,
    now: Annotated[datetime | None, typer.Option(help="As of this time (UTC); else the newest record's.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Look this many days back.")] = None,
    index: Annotated[Path | None, typer.Option(help="Keep the index here; else it is made for this run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate the alert rules. Exit code 1: a rule could not be evaluated; 2: the log cannot be read."""
    # imported here: whoever only verifies needs no DuckDB
    from audit.alerts import evaluate_rules, state

    chosen = _load(thresholds, as_json)
    if days is not None:
        chosen = replace(chosen, site=replace(chosen.site, lookback_days=days))
    try:
        with _records(log_dir, index) as connection:
            moment = _moment(now, connection)
            evaluation = evaluate_rules(connection, chosen, moment)
            known = {found.key: found for found in state(connection, moment)}
    except LogUnreadable as error:
        fail(str(error), as_json)
    if as_json:
        shown = [as_object(alert, known) for alert in evaluation.alerts]
        print(json.dumps({"now": stamp(moment), "alerts": shown, "failed": sorted(evaluation.failed)}))
    else:
        for alert in evaluation.alerts:
            print(text_line(alert, known))
        print(f"{len(evaluation.alerts)} alerts as of {stamp(moment)}, {chosen.site.lookback_days} days back.")
    if evaluation.failed:
        raise typer.Exit(EXIT_FAILED)


def alerts_rules(thresholds: Own = None, as_json: AsJson = False) -> None:
    """Print the alert rules with the thresholds in force."""
    from audit.alerts import RULES
    from audit.alerts.describe import threshold_rows

    chosen = _load(thresholds, as_json)
    found: list[dict[str, Any]] = [{"rule": "site", "severity": "", "title": "All rules"}]
    found += [{"rule": rule.id, "severity": str(rule.severity), "title": rule.title} for rule in RULES]
    for row in found:
        row["thresholds"] = {key: value for key, value, _ in threshold_rows(row["rule"], chosen)}
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    for row in found:
        print(f"{row['rule']:<18}{row['severity']:<10}{row['title']}")
        for key, value in row["thresholds"].items():
            print(f"{'':<18}{key} = {value}")


def _load(path: Path | None, as_json: bool) -> Thresholds:
    from audit.alerts import ThresholdsError, load_thresholds

    try:
        return load_thresholds(path)
    except ThresholdsError as error:
        fail(str(error), as_json)


@contextmanager
def _records(log_dir: Path, index_dir: Path | None) -> Iterator[DuckDBPyConnection]:
    """A connection with the log's records, from a kept index or one made for this run."""
    from audit.index import LogIndex

    with tempfile.TemporaryDirectory(prefix="enclave-alerts-") as temporary:
        found = LogIndex(log_dir, index_dir or Path(temporary))
        if not found.refresh():
            raise LogUnreadable("The log has published no record; give the directory that holds 'checkpoint'.")
        with closing(found.connection()) as connection:
            yield connection


def _moment(now: datetime | None, connection: DuckDBPyConnection) -> datetime:
    if now is not None:
        return now if now.tzinfo else now.replace(tzinfo=UTC)
    newest: datetime | None = connection.execute('SELECT max("at") FROM records').fetchall()[0][0]
    if newest is None:
        raise LogUnreadable("No record has a time; run 'enclave-audit verify'.")
    return newest.replace(tzinfo=UTC)


def as_object(alert: Alert, known: Mapping[str, AlertState]) -> dict[str, Any]:
    """An alert as JSON, with what the log says about it."""
    from audit.alerts.describe import alert_sentence

    return {
        "key": alert.key,
        "rule": alert.rule,
        "severity": str(alert.severity),
        "status": _status(alert, known),
        "actor": alert.actor,
        "project": alert.project,
        "first_at": stamp(alert.first_at),
        "last_at": stamp(alert.last_at),
        "records": list(alert.records),
        "facts": dict(alert.facts),
        "sentence": alert_sentence(alert.sentence_id, alert.facts),
    }


def text_line(alert: Alert, known: Mapping[str, AlertState]) -> str:
    """An alert as a line for people; control characters in a record cannot reach the terminal."""
    from audit.alerts.describe import alert_sentence

    parts = [f"{alert.severity:<9}", f"{_status(alert, known):<13}", f"{alert.rule:<17}", alert.actor or "-"]
    parts += [alert.project or "-", alert_sentence(alert.sentence_id, alert.facts)]
    parts.append(f"records {', '.join(str(place) for place in alert.records)}" if alert.records else "no records")
    return "".join(character if character.isprintable() else "�" for character in "  ".join(parts))


def _status(alert: Alert, known: Mapping[str, AlertState]) -> str:
    return str(known[alert.key].status) if alert.key in known else "not-recorded"

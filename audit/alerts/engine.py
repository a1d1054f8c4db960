"""Evaluating the rules over the index. Reads only; one failing rule becomes an alert of its own and stops no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from audit.alerts.clock import Span, day_date, span_of
from audit.alerts.model import MAX_EVIDENCE, Alert, Rule, alert_key
from audit.alerts.rules import RULES
from audit.alerts.rules.log_health import RULE as LOG_HEALTH
from audit.alerts.rules.log_health import RULE_FAILED
from audit.alerts.thresholds import Thresholds

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PERSON = "(actor <> 'unknown' AND NOT starts_with(actor, 'system:'))"
_NAME = re.compile(r"\$([a-z_]+)")
_COMMON = ("scope", "sentence", "actor", "project", "first_at", "last_at", "records")


@dataclass(frozen=True)
class Evaluation:
    """What the rules found, most severe and newest first; ``failed``: rule id → why it could not be evaluated."""

    alerts: tuple[Alert, ...]
    failed: Mapping[str, Exception]


def evaluate(connection: DuckDBPyConnection, thresholds: Thresholds, now: datetime) -> list[Alert]:
    """Every alert the records up to ``now`` (aware) give, recorded yet or not, most severe and newest first.

    ``connection`` has a view ``records`` (see ``audit.index``). A rule that fails is itself an alert of ``log-health``.
    """
    return list(evaluate_rules(connection, thresholds, now).alerts)


def evaluate_rules(
    connection: DuckDBPyConnection, thresholds: Thresholds, now: datetime, rules: Iterable[Rule] = RULES
) -> Evaluation:
    """Like :func:`evaluate`, with the reasons of failure."""
    span = span_of(thresholds, now)
    alerts: list[Alert] = []
    failed: dict[str, Exception] = {}
    for rule in rules:
        try:
            alerts += apply_rule(connection, rule, thresholds, span)
        except Exception as error:
            failed[rule.id] = error
            alerts.append(_failure(rule, error, span))
    ordered = sorted(alerts, key=lambda alert: (alert.severity.rank, alert.last_at, alert.key), reverse=True)
    return Evaluation(tuple(ordered), failed)


def apply_rule(connection: DuckDBPyConnection, rule: Rule, thresholds: Thresholds, span: Span) -> list[Alert]:
    """What one rule finds."""
    given = {**span.bounds, **rule.parameters(span, thresholds)}
    found: list[Alert] = []
    for query in rule.queries:
        sql = fill(query, span)
        wanted = {name: given[name] for name in set(_NAME.findall(sql))}
        cursor = connection.execute(sql, wanted) if wanted else connection.execute(sql)
        names = [column[0] for column in cursor.description or ()]
        found += [_alert(rule, dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
    return found


def fill(query: str, span: Span) -> str:
    """The SQL with the site's local time and the condition that the actor is a person."""
    return query.replace("{day}", span.day).replace("{local_us}", span.local_us).replace("{person}", _PERSON)


def _alert(rule: Rule, row: Mapping[str, Any]) -> Alert:
    facts = {name: value for name, value in row.items() if name not in _COMMON and value is not None}
    if "day" in facts:
        facts["day"] = day_date(facts["day"]).isoformat()
    return Alert(
        rule=rule.id,
        key=alert_key(rule.id, row["scope"]),
        actor=row["actor"],
        project=row["project"],
        severity=rule.sentences[row["sentence"]].severity,
        first_at=row["first_at"].replace(tzinfo=UTC),
        last_at=row["last_at"].replace(tzinfo=UTC),
        records=tuple(row["records"] or ())[:MAX_EVIDENCE],
        facts=facts,
        sentence_id=row["sentence"],
    )


def _failure(rule: Rule, error: Exception, span: Span) -> Alert:
    day = span.now.astimezone(span.zone).date().isoformat()
    return Alert(
        rule=LOG_HEALTH.id,
        key=alert_key(LOG_HEALTH.id, [RULE_FAILED, rule.id, day]),
        actor=None,
        project=None,
        severity=LOG_HEALTH.sentences[RULE_FAILED].severity,
        first_at=span.now,
        last_at=span.now,
        records=(),
        facts={"failed_rule": rule.id, "error": type(error).__name__, "day": day},
        sentence_id=RULE_FAILED,
    )

"""Recording alerts in the log, each once, and never so many that they flood it.

The state of alerts is in the log and nowhere else: what was raised before is read back from ``alert:raised`` records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from audit.alerts.clock import naive
from audit.alerts.engine import evaluate
from audit.alerts.model import Alert, Severity, alert_key
from audit.alerts.rules.log_health import ALERTS_WITHHELD
from audit.alerts.rules.log_health import RULE as LOG_HEALTH
from audit.alerts.thresholds import Thresholds
from audit.event import AuditEvent, DataValue, Receipt, timestamp

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ACTOR = "system:alerts"
RAISED = "alert:raised"
SUBJECT_PREFIX = "alert:"
# data fields with a meaning of their own; a textual fact of the same name gives way
_OWN_DATA = ("rule", "actor", "severity", "records", "sentence", "first_at", "last_at")


class AlertIndex(Protocol):
    """What is needed of ``audit.index.LogIndex``."""

    def connection(self) -> DuckDBPyConnection: ...


class Recorder(Protocol):
    """What is needed of ``audit.client.AuditClient``."""

    def record(self, event: AuditEvent, *, timeout: float = 5.0) -> Receipt: ...


def raise_new(
    index: AlertIndex,
    client: Recorder,
    thresholds: Thresholds,
    now: datetime,
    *,
    found: Iterable[Alert] | None = None,
    already: set[str] | None = None,
) -> list[Alert]:
    """Record the alerts the log does not hold yet, most severe first; return those recorded.

    ``found``: what an evaluation just gave (else the rules are evaluated here). ``already``: keys recorded before that
    the index may not show yet; those recorded now are added. Muted rules and alerts are recorded all the same. Raise
    AuditUnavailable when the log does not answer: what was recorded by then stays, the rest comes with the next call.
    """
    with closing(index.connection()) as connection:
        alerts = evaluate(connection, thresholds, now) if found is None else list(found)
        raised, recently = raised_keys(connection, now)
    known = set() if already is None else already
    known |= raised
    chosen = choose([alert for alert in alerts if alert.key not in known], recently, thresholds, now)
    recorded = []
    for alert in chosen:
        if alert.key in known:
            continue
        client.record(raised_event(alert))
        known.add(alert.key)
        recorded.append(alert)
    return recorded


def raised_keys(connection: DuckDBPyConnection, now: datetime) -> tuple[set[str], int]:
    """Keys of all alerts in the log, and how many ordinary ones were recorded within the last 24 hours."""
    rows = connection.execute(
        "SELECT subject, \"at\" >= $day_ago AND coalesce(leaf->>'$.data.severity', '') <> 'critical' FROM records"
        " WHERE type = 'alert:raised' AND subject IS NOT NULL",
        {"day_ago": naive(now - timedelta(days=1))},
    ).fetchall()
    return {str(subject).removeprefix(SUBJECT_PREFIX) for subject, _ in rows}, sum(bool(recent) for _, recent in rows)


def choose(new: list[Alert], recently: int, thresholds: Thresholds, now: datetime) -> list[Alert]:
    """Which new alerts to record now; with one more alert that says how many wait because of the daily limit.

    Critical ones go first and have no daily limit. Among the others everybody's first alert goes before anybody's
    second, so that nobody hides one alert behind many of their own.
    """
    ordered = _fair_order(new)
    urgent = [alert for alert in ordered if alert.severity is Severity.CRITICAL]
    ordinary = [alert for alert in ordered if alert.severity is not Severity.CRITICAL]
    left_today = max(0, thresholds.site.alerts_per_day - recently)
    chosen = (urgent + ordinary[:left_today])[: thresholds.site.alerts_per_evaluation]
    withheld = len(new) - len(chosen)
    if withheld:
        recorded = recently + sum(alert.severity is not Severity.CRITICAL for alert in chosen)
        chosen.append(_withheld_alert(withheld, recorded, thresholds, now))
    return chosen


def _fair_order(new: list[Alert]) -> list[Alert]:
    seen: Counter[tuple[str | None, Severity]] = Counter()
    ranked = []
    for alert in sorted(new, key=lambda alert: (-alert.severity.rank, -alert.last_at.timestamp(), alert.key)):
        ranked.append((seen[alert.actor, alert.severity], alert))
        seen[alert.actor, alert.severity] += 1
    return [alert for _, alert in sorted(ranked, key=lambda pair: (-pair[1].severity.rank, pair[0]))]


def _withheld_alert(withheld: int, recorded: int, thresholds: Thresholds, now: datetime) -> Alert:
    day = now.astimezone(thresholds.site.time_zone).date().isoformat()
    return Alert(
        rule=LOG_HEALTH.id,
        key=alert_key(LOG_HEALTH.id, [ALERTS_WITHHELD, day]),
        actor=None,
        project=None,
        severity=LOG_HEALTH.sentences[ALERTS_WITHHELD].severity,
        first_at=now,
        last_at=now,
        records=(),
        facts={"day": day, "withheld": withheld, "recorded": recorded},
        sentence_id=ALERTS_WITHHELD,
    )


def raised_event(alert: Alert) -> AuditEvent:
    """The record of an alert: facts that are numbers in ``counts``, the others in ``data``."""
    texts = {name: value for name, value in alert.facts.items() if isinstance(value, str) and name not in _OWN_DATA}
    own: dict[str, DataValue] = {
        "rule": alert.rule,
        "actor": alert.actor or "",
        "severity": str(alert.severity),
        "records": [str(place) for place in alert.records],
        "sentence": alert.sentence_id,
        "first_at": timestamp(alert.first_at),
        "last_at": timestamp(alert.last_at),
    }
    return AuditEvent(
        type=RAISED,
        actor=ACTOR,
        project=alert.project,
        subject=f"{SUBJECT_PREFIX}{alert.key}",
        counts={name: value for name, value in alert.facts.items() if isinstance(value, int)},
        data={**texts, **own},
    )

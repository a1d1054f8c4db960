"""Open and muted alerts, from the log's own records, and how an auditor mutes one: never without a reason.

A muted rule or alert is still evaluated and recorded; it is only shown as muted. A mute of an alert counts only if it
was recorded after the alert, so that nobody mutes in advance what a key can be computed for; and nobody's mute counts
for alerts about themselves. Whether a person is an auditor is for the caller to check.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from audit.alerts.clock import naive
from audit.alerts.model import Severity
from audit.alerts.raising import SUBJECT_PREFIX, Recorder
from audit.alerts.rules import RULES_BY_ID
from audit.event import AuditEvent, Receipt, timestamp

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RULE_PREFIX = "rule:"
MAX_TEXT = 2000
_NO_FACTS = ("rule", "actor", "severity", "sentence", "first_at", "last_at")
_LATEST = datetime.max.replace(tzinfo=UTC)


class MuteReason(StrEnum):
    """Why an alert needs no more looking at."""

    KNOWN_ANALYSIS = "known-analysis"
    FALSE_POSITIVE = "false-positive"
    AGREED_WITH_STEWARD = "agreed-with-steward"
    OTHER = "other"


class MuteRefused(ValueError):
    """A mute without target, reason or a time that lies ahead; the sentence says what is missing."""


class Status(StrEnum):
    """``muted`` until a time, ``muted-for-ever``, or ``open``."""

    OPEN = "open"
    MUTED = "muted"
    MUTED_FOR_EVER = "muted-for-ever"


@dataclass(frozen=True)
class Mute:
    """One valid mute; ``target``: ``alert:<key>`` or ``rule:<id>``; ``until`` None: for ever; ``index``: its record."""

    target: str
    by: str
    reason: MuteReason
    at: datetime
    until: datetime | None
    index: int


@dataclass(frozen=True)
class AlertState:
    """An alert as the log holds it. ``index``: its record; ``facts`` as they were when it was raised."""

    key: str
    rule: str
    actor: str | None
    project: str | None
    severity: Severity
    sentence_id: str
    raised_at: datetime
    first_at: datetime | None
    last_at: datetime | None
    index: int
    records: tuple[int, ...]
    facts: Mapping[str, int | str]
    status: Status
    mute: Mute | None


def mute(
    client: Recorder,
    target: str,
    *,
    by: str,
    reason: str,
    text: str,
    until: datetime | None,
    now: datetime,
) -> Receipt:
    """Record that ``by`` mutes an alert (``alert:<key>``) or a rule (``rule:<id>``) until a time, or for ever.

    ``text`` is the reason in words; it goes into the sealed payload. Raise :class:`MuteRefused`, AuditUnavailable.
    """
    check_target(target)
    if reason not in list(MuteReason):
        raise MuteRefused(f"Expected a reason out of {', '.join(MuteReason)}; choose one.")
    words = check_text(text)
    if until is not None and until <= now:
        raise MuteRefused("Expected an end that lies ahead; choose a later day, or none.")
    data = {"reason": str(reason), "until": timestamp(until) if until else "", "by": by}
    return client.record(AuditEvent("alert:muted", by, subject=target, data=data, payload={"text": words}))


def unmute(client: Recorder, target: str, *, by: str, text: str) -> Receipt:
    """Record that ``by`` ends the mute of an alert or rule; the reason in words goes into the sealed payload."""
    check_target(target)
    words = check_text(text)
    return client.record(AuditEvent("alert:unmuted", by, subject=target, data={"by": by}, payload={"text": words}))


def check_target(target: str) -> None:
    """Raise :class:`MuteRefused` unless ``target`` is ``alert:<key>`` or a known ``rule:<id>``."""
    if target.startswith(RULE_PREFIX):
        if target.removeprefix(RULE_PREFIX) not in RULES_BY_ID:
            raise MuteRefused(f"Unknown rule; the rules are {', '.join(RULES_BY_ID)}.")
        return
    rule, _, digest = target.removeprefix(SUBJECT_PREFIX).rpartition("-")
    if not target.startswith(SUBJECT_PREFIX) or rule not in RULES_BY_ID or not digest.isalnum():
        raise MuteRefused("Expected 'alert:' and an alert's key, or 'rule:' and a rule's name.")


def check_text(text: str) -> str:
    """The reason in words without blanks around it; raise :class:`MuteRefused` when there is none or it is too long."""
    words = text.strip()
    if not words or len(words) > MAX_TEXT:
        raise MuteRefused(f"Expected the reason in words, at most {MAX_TEXT} characters; write a sentence.")
    return words


def state(connection: DuckDBPyConnection, now: datetime) -> list[AlertState]:
    """Every alert in the log up to ``now`` (aware), newest first, open or muted."""
    rows = _records(connection, "alert:raised", now)
    mutes = _valid_mutes(connection, now)
    seen: dict[str, AlertState] = {}
    for row in rows:
        alert = _state_of(row, mutes)
        # two watchers at the same moment may raise one alert twice; the first record is the alert
        seen.setdefault(alert.key, alert)
    return list(reversed(seen.values()))


def muted_rules(connection: DuckDBPyConnection, now: datetime) -> dict[str, Mute]:
    """Rule id → the mute that holds now."""
    mutes = _valid_mutes(connection, now)
    return {
        target.removeprefix(RULE_PREFIX): given for target, given in mutes.items() if target.startswith(RULE_PREFIX)
    }


def _records(connection: DuckDBPyConnection, kind: str, now: datetime) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = connection.execute(
        'SELECT "index", "at", type, actor, project, subject, leaf FROM records'
        ' WHERE type = $kind AND "at" <= $now AND subject IS NOT NULL ORDER BY "index"',
        {"kind": kind, "now": naive(now)},
    ).fetchall()
    return found


def _valid_mutes(connection: DuckDBPyConnection, now: datetime) -> dict[str, Mute]:
    """Target → the last mute, unless it was ended or is over."""
    changes = sorted(_records(connection, "alert:muted", now) + _records(connection, "alert:unmuted", now))
    valid: dict[str, Mute] = {}
    for index, at, kind, actor, _, target, leaf in changes:
        if kind == "alert:unmuted":
            valid.pop(target, None)
            continue
        data = _part(leaf, "data")
        until = _time(data.get("until"))
        # a mute whose reason or end cannot be read mutes nothing
        if data.get("reason") in list(MuteReason) and (until is not None or data.get("until") == ""):
            reason = MuteReason(str(data["reason"]))
            valid[target] = Mute(target, actor, reason, at.replace(tzinfo=UTC), until, index)
    return {target: given for target, given in valid.items() if given.until is None or given.until > now}


def _state_of(row: tuple[Any, ...], mutes: Mapping[str, Mute]) -> AlertState:
    index, at, _, _, project, subject, leaf = row
    data, counts = _part(leaf, "data"), _part(leaf, "counts")
    rule, actor = str(data.get("rule", "")), str(data.get("actor", "")) or None
    given = [mutes.get(subject), mutes.get(f"{RULE_PREFIX}{rule}")]
    holding = [
        found
        for found in given
        if found is not None and found.by != actor and (found.target != subject or found.index > index)
    ]
    # of an alert's own mute and its rule's, the one that lasts longer says until when
    chosen = max(holding, key=lambda found: (found.until is None, found.until or _LATEST), default=None)
    status = Status.OPEN if chosen is None else Status.MUTED if chosen.until else Status.MUTED_FOR_EVER
    texts = {name: value for name, value in data.items() if name not in _NO_FACTS and isinstance(value, str)}
    return AlertState(
        key=subject.removeprefix(SUBJECT_PREFIX),
        rule=rule,
        actor=actor,
        project=project,
        severity=Severity(data["severity"]) if data.get("severity") in list(Severity) else Severity.LOW,
        sentence_id=str(data.get("sentence", "")),
        raised_at=at.replace(tzinfo=UTC),
        first_at=_time(data.get("first_at")),
        last_at=_time(data.get("last_at")),
        index=index,
        records=tuple(int(place) for place in data.get("records", ()) if str(place).isdecimal()),
        facts={**texts, **counts},
        status=status,
        mute=chosen,
    )


def _part(leaf: str, name: str) -> dict[str, Any]:
    """One of the leaf's objects; empty when the record is not of the agreed form."""
    found = json.loads(leaf).get(name)
    return found if isinstance(found, dict) else {}


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)

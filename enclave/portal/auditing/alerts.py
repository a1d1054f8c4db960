"""Alerts as the pages show them: what the rule says in the reader's language, the facts, the records behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils.translation import get_language

from audit.alerts import AlertState, Mute, Rule, Status, muted_rules, state
from audit.alerts.describe import alert_sentence
from audit.alerts.rules import RULES, RULES_BY_ID
from audit.index import LogIndex


@dataclass(frozen=True)
class RuleText:
    """A rule in one language."""

    id: str
    title: str
    meaning: str
    action: str
    blind_spots: tuple[str, ...]
    severity: str
    mute: Mute | None = None


@dataclass(frozen=True)
class AlertRow:
    """One alert with its sentence and its rule's texts."""

    alert: AlertState
    sentence: str
    rule: RuleText
    actor_name: str

    @property
    def is_open(self) -> bool:
        """Does it still wait for somebody to look?"""
        return self.alert.status is Status.OPEN


def _french() -> bool:
    return (get_language() or "en").startswith("fr")


def text_of(rule: Rule, mute: Mute | None = None) -> RuleText:
    """The rule in the reader's language."""
    if _french():
        return RuleText(
            rule.id, rule.title_fr, rule.meaning_fr, rule.action_fr, rule.blind_spots_fr, rule.severity, mute
        )
    return RuleText(rule.id, rule.title, rule.meaning, rule.action, rule.blind_spots, rule.severity, mute)


def row_of(alert: AlertState, names: dict[str, str]) -> AlertRow:
    """One alert for a page; a rule that is gone shows by its name."""
    rule = RULES_BY_ID.get(alert.rule)
    text = text_of(rule) if rule else RuleText(alert.rule, alert.rule, "", "", (), alert.severity)
    sentence = alert_sentence(alert.sentence_id, alert.facts, french=_french())
    return AlertRow(alert, sentence, text, names.get(alert.actor or "", ""))


def all_alerts(index: LogIndex, now: datetime | None = None) -> list[AlertState]:
    """Every alert in the log, newest first."""
    with closing(index.connection()) as connection:
        return state(connection, now or datetime.now(UTC))


def rule_texts(index: LogIndex) -> Sequence[RuleText]:
    """All rules with the mutes that hold now."""
    with closing(index.connection()) as connection:
        muted = muted_rules(connection, datetime.now(UTC))
    return [text_of(rule, muted.get(rule.id)) for rule in RULES]

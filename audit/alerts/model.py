"""What a rule is and what it finds. Pure.

A rule is data: its texts in English and French, and SQL over the view ``records`` of the index. Every row the SQL gives
becomes one :class:`Alert`. Columns a query must give: ``scope`` (list of text; what makes the fact this fact and no
other, from which the key is made), ``sentence`` (which of the rule's sentences), ``actor``, ``project``, ``first_at``,
``last_at``, ``records`` (list of indexes); every other column is a fact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from audit.alerts.thresholds import Thresholds

if TYPE_CHECKING:
    from audit.alerts.clock import Span

MAX_EVIDENCE = 20
_KEY_DIGITS = 20


class Severity(StrEnum):
    """How soon an auditor should look: in the month, in the week, today, now."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the lowest."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Sentence:
    """One thing a rule can say, with places such as ``{rows}`` for facts."""

    severity: Severity
    english: str
    french: str


@dataclass(frozen=True)
class Rule:
    """A documented rule. ``queries``: SQL whose ``{day}``, ``{local_us}`` and ``{person}`` the engine fills in."""

    id: str
    title: str
    title_fr: str
    meaning: str
    meaning_fr: str
    action: str
    action_fr: str
    reads: tuple[str, ...]
    blind_spots: tuple[str, ...]
    blind_spots_fr: tuple[str, ...]
    sentences: Mapping[str, Sentence]
    queries: tuple[str, ...]
    parameters: Callable[[Span, Thresholds], Mapping[str, object]]

    @property
    def severity(self) -> Severity:
        """The highest of its sentences."""
        return max((sentence.severity for sentence in self.sentences.values()), key=lambda found: found.rank)


@dataclass(frozen=True)
class Alert:
    """A fact a rule found. ``key`` stays the same however often and late the fact is found; times are aware UTC.

    ``actor`` is the person concerned (None: the log itself); ``records``: at most 20 indexes, most telling first.
    """

    rule: str
    key: str
    actor: str | None
    project: str | None
    severity: Severity
    first_at: datetime
    last_at: datetime
    records: tuple[int, ...]
    facts: Mapping[str, int | str]
    sentence_id: str


def alert_key(rule: str, scope: Sequence[str | None]) -> str:
    """A name for a fact, fit for an address: the rule, and a hash over what makes the fact this one."""
    text = json.dumps([rule, *scope], ensure_ascii=False)
    return f"{rule}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:_KEY_DIGITS]}"

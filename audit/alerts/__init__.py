"""Alerts for auditors: rules over the records of the log, and what the log itself says became of each alert.

``evaluate`` finds facts, ``raise_new`` records those the log does not hold yet, ``state`` reads back which are open or
muted. Nothing here decides who may call it: the caller checks that the person is an auditor. No module of this package
imports DuckDB; the connection comes from ``audit.index``.
"""

from audit.alerts.engine import Evaluation, evaluate, evaluate_rules
from audit.alerts.model import Alert, Rule, Sentence, Severity
from audit.alerts.muting import (
    AlertState,
    Mute,
    MuteReason,
    MuteRefused,
    Status,
    mute,
    muted_rules,
    state,
    unmute,
)
from audit.alerts.raising import raise_new
from audit.alerts.rules import RULES
from audit.alerts.thresholds import Thresholds, ThresholdsError, load_thresholds

__all__ = [
    "RULES",
    "Alert",
    "AlertState",
    "Evaluation",
    "Mute",
    "MuteReason",
    "MuteRefused",
    "Rule",
    "Sentence",
    "Severity",
    "Status",
    "Thresholds",
    "ThresholdsError",
    "evaluate",
    "evaluate_rules",
    "load_thresholds",
    "mute",
    "muted_rules",
    "raise_new",
    "state",
    "unmute",
]

"""The rules, one file each, in the order in which they are documented."""

from __future__ import annotations

from audit.alerts.model import Rule
from audit.alerts.rules import (
    differencing,
    dormant_account,
    isolation,
    log_health,
    mass_extraction,
    near_threshold,
    off_hours,
    refusal_bursts,
    screen_volume,
    shifting_filters,
)

RULES: tuple[Rule, ...] = (
    mass_extraction.RULE,
    off_hours.RULE,
    near_threshold.RULE,
    shifting_filters.RULE,
    differencing.RULE,
    refusal_bursts.RULE,
    dormant_account.RULE,
    screen_volume.RULE,
    isolation.RULE,
    log_health.RULE,
)
RULES_BY_ID = {rule.id: rule for rule in RULES}

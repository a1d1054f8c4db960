"""The treatments of a column as the data permit writes them: ``keep``, ``band 5``, ``pseudonym visits`` … (pure).

Table ``RULES`` is the only place that says which treatment takes an argument and of which shape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from enclave.domain.permits import Treatment
from enclave.extracts.permit_nodes import suggest


class _Rule(NamedTuple):
    shape: re.Pattern[str] | None
    """Shape of the argument; None: it takes none."""
    required: bool
    explanation: str


_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,6})?")
_POSITIVE = re.compile(r"\d{1,12}(\.\d{1,6})?")
_LENGTH = re.compile(r"[1-9]\d{0,3}")
_SPACE = re.compile(r"[a-z][a-z0-9_-]{0,40}")
_NONE = _Rule(None, False, "no argument")

RULES: dict[Treatment, _Rule] = {
    Treatment.KEEP: _NONE,
    Treatment.PERSON_PSEUDONYM: _NONE,
    Treatment.PSEUDONYM: _Rule(_SPACE, False, "the name of an identifier space, such as visits"),
    Treatment.SHIFT_DATE: _NONE,
    Treatment.YEAR: _NONE,
    Treatment.MONTH: _NONE,
    Treatment.BAND: _Rule(_POSITIVE, True, "the width of the band, a number above 0, such as band 5"),
    Treatment.TOP: _Rule(_NUMBER, True, "the highest value that stays, such as top 90"),
    Treatment.TRUNCATE: _Rule(_LENGTH, True, "the number of characters that stay, such as truncate 3"),
}


@dataclass(frozen=True)
class TreatmentProblem:
    """Why a text is no treatment, as a sentence."""

    message: str


def parse_treatment(text: str) -> tuple[Treatment, str | None] | TreatmentProblem:
    """``"band 5"`` → ``(Treatment.BAND, "5")``, or the problem."""
    name, _, argument = text.strip().partition(" ")
    argument = argument.strip()
    names = [t.value for t in Treatment]
    if name not in names:
        return TreatmentProblem(
            f'expected one of {", ".join(names)}, found "{text[:60]}"{suggest(name, names)}; correct the treatment.'
        )
    treatment = Treatment(name)
    rule = RULES[treatment]
    if rule.shape is None and argument:
        return TreatmentProblem(
            f'expected {name} without an argument, found "{text[:60]}"; remove what follows {name}.'
        )
    if rule.shape is None or (not argument and not rule.required):
        return treatment, None
    if not rule.shape.fullmatch(argument) or (treatment is Treatment.BAND and Decimal(argument) == 0):
        found = f'"{argument[:60]}"' if argument else "nothing"
        return TreatmentProblem(f"expected after {name} {rule.explanation}, found {found}; correct the argument.")
    return treatment, argument

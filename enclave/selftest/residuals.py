"""Doors we know to be ajar: probe → what that means and what closes it. Each is in docs/threat-model.md.

A finding that is listed here is shown in every report, under its own heading, and raises no alert.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Residual:
    """One sentence in each language."""

    en: str
    fr: str


RESIDUALS: dict[str, Residual] = {}
"""None at present."""

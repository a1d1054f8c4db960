"""Decisions as values: a rule is a function from frozen values to ``Allow`` or ``Deny``.

A ``Deny`` carries sentences for the reader (what was expected, what was found, what to do next) and never a row value,
a token or an SQL literal. ``policies`` names the rules that decided, so that a record can cite them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Allow:
    """Yes, by these policies."""

    policies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deny:
    """No, and why, in sentences a person can act on. ``reasons`` is never empty."""

    reasons: tuple[str, ...]
    policies: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a refusal must say why: expected at least one reason, found none")


Decision = Allow | Deny


class RefusedError(Exception):
    """Raised by ``check_x`` functions; ``reasons`` are the sentences of the ``Deny``."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = reasons


def check(decision: Decision) -> None:
    """Turn a ``Deny`` into a ``RefusedError``; an ``Allow`` passes."""
    if isinstance(decision, Deny):
        raise RefusedError(*decision.reasons)

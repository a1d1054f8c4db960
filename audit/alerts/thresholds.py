"""The numbers the rules compare with: shipped in ``thresholds.toml``, overridden key by key by a site's own file. Pure
apart from :func:`load_thresholds`, which reads the files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import time
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LARGEST = 2**53


class ThresholdsError(ValueError):
    """A thresholds file is not usable; the sentence names the key, what was expected and what was found."""


@dataclass(frozen=True)
class Site:
    """What all rules share. Each key's unit and meaning stand in ``thresholds.toml``; so for the classes below."""

    time_zone: ZoneInfo
    small_count: int
    small_count_by_project: Mapping[str, int]
    lookback_days: int
    alerts_per_evaluation: int
    alerts_per_day: int


@dataclass(frozen=True)
class MassExtraction:
    factor: int
    floor_rows: int
    floor_bytes: int
    history_days: int
    history_active_days: int
    newcomer_rows: int
    newcomer_bytes: int


@dataclass(frozen=True)
class OffHours:
    opens: time
    closes: time
    weekdays: tuple[str, ...]
    records: int


@dataclass(frozen=True)
class NearThreshold:
    band: int
    results: int


@dataclass(frozen=True)
class ShiftingFilters:
    repeats: int


@dataclass(frozen=True)
class Differencing:
    hours: int


@dataclass(frozen=True)
class RefusalBursts:
    refusals: int
    minutes: int


@dataclass(frozen=True)
class DormantAccount:
    days: int


@dataclass(frozen=True)
class ScreenVolume:
    bytes: int


@dataclass(frozen=True)
class Isolation:
    minutes: int


@dataclass(frozen=True)
class LogHealth:
    witness_minutes: int
    clock_seconds: int
    canary_minutes: int


@dataclass(frozen=True)
class Thresholds:
    """One section per rule (the rule's id with underscores), and ``site``."""

    site: Site
    mass_extraction: MassExtraction
    off_hours: OffHours
    near_threshold: NearThreshold
    shifting_filters: ShiftingFilters
    differencing: Differencing
    refusal_bursts: RefusalBursts
    dormant_account: DormantAccount
    screen_volume: ScreenVolume
    isolation: Isolation
    log_health: LogHealth


def shipped_text() -> str:
    """The shipped ``thresholds.toml`` with its comments."""
    return resources.files("audit.alerts").joinpath("thresholds.toml").read_text(encoding="utf-8")


def load_thresholds(path: Path | None = None) -> Thresholds:
    """The shipped thresholds, with the keys of the site's own file in their place; raise :class:`ThresholdsError`."""
    if path is None:
        return parse_thresholds("")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ThresholdsError(f"{path.name} cannot be read; give the name of a readable TOML file.") from error
    return parse_thresholds(text)


def parse_thresholds(text: str) -> Thresholds:
    """Thresholds from the text of a site's file (empty: as shipped); raise :class:`ThresholdsError`."""
    shipped = tomllib.loads(shipped_text())
    try:
        own = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ThresholdsError(f"Expected a TOML file of thresholds: {error}. Correct that line.") from error
    if unknown := sorted(set(own) - set(shipped)):
        raise ThresholdsError(f"Unknown section [{unknown[0]}]; the sections are {', '.join(shipped)}.")
    sections = {}
    for kind in fields(Thresholds):
        name = kind.name.replace("_", "-")
        changed = own.get(name, {})
        if not isinstance(changed, dict):
            raise ThresholdsError(f"{name}: expected a section [{name}] with keys.")
        if unknown := sorted(set(changed) - set(shipped[name])):
            raise ThresholdsError(f"Unknown key {name}.{unknown[0]}; the keys are {', '.join(shipped[name])}.")
        sections[kind.name] = _section(name, _TYPES[kind.name], {**shipped[name], **changed})
    found = Thresholds(**sections)
    _check_hours(found.off_hours)
    return found


def _section(name: str, kind: type, values: Mapping[str, Any]) -> Any:
    types = get_type_hints(kind)
    return kind(**{key: _READERS[types[key]](f"{name}.{key}", value) for key, value in values.items()})


def _check_hours(hours: OffHours) -> None:
    if hours.opens >= hours.closes:
        raise ThresholdsError("off-hours.closes: expected a time of day after off-hours.opens; change one of them.")


def _whole(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
        raise ThresholdsError(f"{key}: expected a whole number from 1 on, found {value!r}.")
    return value


def _zone(key: str, value: object) -> ZoneInfo:
    try:
        return ZoneInfo(value) if isinstance(value, str) and value else _refuse_zone(key, value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _refuse_zone(key, value)


def _refuse_zone(key: str, value: object) -> ZoneInfo:
    raise ThresholdsError(f"{key}: expected the name of a time zone such as 'Europe/Paris', found {value!r}.")


def _clock(key: str, value: object) -> time:
    try:
        if isinstance(value, str) and len(value) == len("HH:MM"):
            return time.fromisoformat(value)
    except ValueError:
        pass
    raise ThresholdsError(f"{key}: expected a time of day in quotes such as '07:00', found {value!r}.")


def _weekdays(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(item in WEEKDAYS for item in value) or len(set(value)) != len(value):
        raise ThresholdsError(f"{key}: expected different days out of {', '.join(WEEKDAYS)}, found {value!r}.")
    return tuple(value)


def _by_project(key: str, value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise ThresholdsError(f"{key}: expected projects with whole numbers, found {value!r}.")
    return {project: _whole(f"{key}.{project}", number) for project, number in value.items()}


_READERS: Mapping[object, Callable[[str, object], object]] = {
    int: _whole,
    ZoneInfo: _zone,
    time: _clock,
    tuple[str, ...]: _weekdays,
    Mapping[str, int]: _by_project,
}
_TYPES: Mapping[str, type] = get_type_hints(Thresholds)

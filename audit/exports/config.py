"""``exports.toml``: which log, where state is kept, and the targets. Reading it says every fault with its place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from audit.exports.formats import FormatName
from audit.exports.message import EXAMPLE_ENTERPRISE_NUMBER, SiteFacts
from audit.exports.sinks.http import check_url
from audit.exports.sinks.syslog import DEFAULT_PORT
from audit.exports.sinks.tls import TlsFiles
from audit.note import NoteError, VerifierKey
from audit.reader import LogEntry


class ConfigError(ValueError):
    """The configuration cannot be used; the sentence names the target and the setting."""


@dataclass(frozen=True)
class Filter:
    """Which records a target gets: type patterns such as ``query:*``, projects. Empty means all."""

    types: tuple[str, ...] = ()
    exclude_types: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()

    def wants(self, entry: LogEntry) -> bool:
        """True when the record passes."""
        event_type, project = str(entry.leaf.get("type")), entry.leaf.get("project")
        if self.types and not any(fnmatchcase(event_type, pattern) for pattern in self.types):
            return False
        if any(fnmatchcase(event_type, pattern) for pattern in self.exclude_types):
            return False
        return not self.projects or project in self.projects


@dataclass(frozen=True)
class Target:
    """One receiver. ``tries``: how often a refused record is offered before it goes to the dead-letter file."""

    name: str
    format: FormatName
    to: str
    filter: Filter = field(default_factory=Filter)
    tls: TlsFiles = field(default_factory=TlsFiles)
    token_file: Path | None = None
    batch: int = 200
    tries: int = 8
    timeout_seconds: float = 10.0
    retry_seconds_max: float = 60.0
    resend: int = 10_000
    rotate_bytes: int = 64 * 1024 * 1024
    keep_files: int = 0
    idempotent: bool = False
    ndjson: bool = False
    start: str = "beginning"

    @property
    def scheme(self) -> str:
        """``file``, ``https``, ``http`` or ``syslog+tls``."""
        return urlsplit(self.to).scheme

    @property
    def shown_address(self) -> str:
        """The address without anything secret (a query may hold a key)."""
        return self.to if self.scheme == "file" else f"{self.scheme}://{urlsplit(self.to).netloc}"


@dataclass(frozen=True)
class Settings:
    """The whole configuration."""

    log: Path
    state: Path
    targets: tuple[Target, ...]
    site: SiteFacts = field(default_factory=SiteFacts)
    key: VerifierKey | None = None
    poll_seconds: float = 1.0
    status_seconds: float = 5.0


def load_settings(path: Path) -> Settings:
    """Read the file; raise :class:`ConfigError`."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not TOML: {error}") from error
    return settings_of(raw)


def settings_of(raw: Mapping[str, Any]) -> Settings:
    """The settings that parsed TOML says."""
    top = _Table("", raw)
    site = _Table("site.", top.take("site", dict, {}))
    targets = [target_of(_Table(f"target {number}.", item)) for number, item in _numbered(top.take("target", list, []))]
    names = [target.name for target in targets]
    if not targets or len(set(names)) != len(names):
        raise ConfigError("Expected at least one [[target]], each with a name of its own.")
    settings = Settings(
        log=Path(top.take("log", str)),
        state=Path(top.take("state", str)),
        targets=tuple(targets),
        site=SiteFacts(
            name=site.take("name", str, "enclave"),
            host=site.take("host", str, "enclave"),
            identifiers=site.take("identifiers", str, "urn:enclave"),
            version=site.take("version", str, "1"),
            enterprise_number=site.take("enterprise_number", int, EXAMPLE_ENTERPRISE_NUMBER),
        ),
        key=_key(top.take("verifier_key", str, "")),
        poll_seconds=top.number("poll_seconds", 1.0),
        status_seconds=top.number("status_seconds", 5.0),
    )
    site.finish()
    top.finish()
    return settings


def target_of(table: _Table) -> Target:
    """One target."""
    try:
        chosen = FormatName(table.take("format", str))
    except ValueError as error:
        raise ConfigError(f"{table.place}format: expected one of {', '.join(FormatName)}.") from error
    defaults = Target("", chosen, "")
    target = Target(
        name=table.take("name", str),
        format=chosen,
        to=table.take("to", str),
        filter=Filter(table.texts("types"), table.texts("exclude_types"), table.texts("projects")),
        tls=TlsFiles(table.path("ca_file"), table.path("client_certificate"), table.path("client_key")),
        token_file=table.path("token_file"),
        batch=table.take("batch", int, defaults.batch),
        tries=table.take("tries", int, defaults.tries),
        timeout_seconds=table.number("timeout_seconds", defaults.timeout_seconds),
        retry_seconds_max=table.number("retry_seconds_max", defaults.retry_seconds_max),
        resend=table.take("resend", int, defaults.resend),
        rotate_bytes=table.take("rotate_bytes", int, defaults.rotate_bytes),
        keep_files=table.take("keep_files", int, defaults.keep_files),
        idempotent=table.take("idempotent", bool, defaults.idempotent),
        ndjson=table.take("ndjson", bool, defaults.ndjson),
        start=table.take("start", str, defaults.start),
    )
    table.finish()
    check_target(target)
    return target


def check_target(target: Target) -> None:
    """Raise :class:`ConfigError` unless name, numbers and address fit together."""
    if not target.name or not target.name.replace("-", "").isalnum() or not target.name.isascii():
        raise ConfigError("A target's name: expected letters, digits and hyphens; it names its files.")
    if target.start not in ("beginning", "now"):
        raise ConfigError(f"Target {target.name}, start: expected 'beginning' or 'now'.")
    if min(target.batch, target.tries, target.timeout_seconds, target.retry_seconds_max) <= 0 or target.resend < 0:
        raise ConfigError(f"Target {target.name}: batch, tries, timeout and retry must be above zero.")
    check_address(target.format, target.to)


def check_address(chosen: FormatName, to: str) -> None:
    """Raise :class:`ConfigError` unless the format can go there."""
    parts = urlsplit(to)
    if parts.scheme == "file" and parts.path:
        return
    if parts.scheme == "syslog+tls" and chosen is FormatName.SYSLOG:
        syslog_address(to)
        return
    if parts.scheme in ("http", "https") and chosen is not FormatName.SYSLOG:
        try:
            check_url(to)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return
    raise ConfigError("Expected file:PATH, https://… (fhir, ocsf, otlp) or syslog+tls://host:port (syslog).")


def syslog_address(to: str) -> tuple[str, int]:
    """Host and port of ``syslog+tls://host:port``."""
    try:
        parts = urlsplit(to)
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise ConfigError("Expected syslog+tls://host:port with a port number.") from error
    if not parts.hostname:
        raise ConfigError("Expected syslog+tls://host:port with a host.")
    return parts.hostname, port


def _key(given: str) -> VerifierKey | None:
    if not given:
        return None
    try:
        return VerifierKey.parse(given if "+" in given else Path(given).read_text("ascii"))
    except (NoteError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"verifier_key: {error}") from error


def _numbered(items: list[Any]) -> list[tuple[int, Mapping[str, Any]]]:
    if not all(isinstance(item, Mapping) for item in items):
        raise ConfigError("target: expected [[target]] tables.")
    return list(enumerate(items, 1))


@dataclass
class _Table:
    """A TOML table read once through; what nobody asked for is a fault."""

    place: str
    values: Mapping[str, Any]
    asked: set[str] = field(default_factory=set)

    def take(self, name: str, kind: type, default: Any = None) -> Any:
        self.asked.add(name)
        value = self.values.get(name, default)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError(f"{self.place}{name}: expected {_KINDS[kind]}.")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.values.get(name, default)
        self.asked.add(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise ConfigError(f"{self.place}{name}: expected a number above zero.")
        return float(value)

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.take(name, list, [])
        if not all(isinstance(item, str) for item in found):
            raise ConfigError(f"{self.place}{name}: expected a list of text.")
        return tuple(found)

    def path(self, name: str) -> Path | None:
        given = self.take(name, str, "")
        return Path(given) if given else None

    def finish(self) -> None:
        if unknown := sorted(set(self.values) - self.asked):
            raise ConfigError(f"{self.place}{unknown[0]}: no such setting.")


_KINDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}

"""``enclave-audit export``: the exporter process, or one export and done."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from audit.cli.options import EXIT_FAILED, EXIT_UNREADABLE

if TYPE_CHECKING:
    from audit.exports.config import Target


class ExportFormat(StrEnum):
    """Spelt out here, so that reading the command line needs none of the exporter's parts."""

    FHIR = "fhir"
    OCSF = "ocsf"
    SYSLOG = "syslog"
    OTLP = "otlp"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(export)


def export(
    config: Annotated[Path | None, typer.Option(help="exports.toml: run its targets until SIGTERM.")] = None,
    log: Annotated[Path | None, typer.Option(help="The log directory, for a single export.")] = None,
    chosen: Annotated[ExportFormat | None, typer.Option("--format", help="Format of a single export.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Export what is published, then end.")] = False,
    to: Annotated[str, typer.Option(help="file:PATH, https://… or syslog+tls://host:port.")] = "",
    start: Annotated[int, typer.Option("--from", min=0, help="First index of a single export.")] = 0,
    types: Annotated[list[str] | None, typer.Option("--type", help="Only such types (query:*); repeatable.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only records of this project; repeatable.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="PEM file of the only authority trusted.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file of our certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the bearer token.")] = None,
) -> None:
    """Export records to a SIEM or an audit repository, at least once, each with its place in the log."""
    if config is not None and not (once or log or chosen or to):
        from audit.exports.__main__ import run

        raise typer.Exit(run(config))
    if config is not None or not once or log is None or chosen is None or not to:
        _fail("Expected either --config FILE, or --log DIR --format F --once --to ADDRESS.", EXIT_UNREADABLE)
    from audit.exports.config import ConfigError, Filter, Target, check_target
    from audit.exports.formats import FormatName
    from audit.exports.sinks.tls import TlsFiles

    target = Target(
        "once",
        FormatName(chosen.value),
        to,
        filter=Filter(types=tuple(types or ()), projects=tuple(project or ())),
        tls=TlsFiles(ca_file, certificate, key),
        token_file=token_file,
        rotate_bytes=0,
        tries=5,
    )
    try:
        check_target(target)
    except ConfigError as error:
        _fail(str(error), EXIT_UNREADABLE)
    _once(target, log, start)


def _once(target: Target, log: Path, start: int) -> None:
    from audit.exports.formats import load_format
    from audit.exports.message import RecordUnreadable, SiteFacts
    from audit.exports.once import export_once
    from audit.exports.sinks import SinkUnavailable
    from audit.exports.sinks.choice import make_sink
    from audit.exports.source import LogReplaced, LogSource
    from audit.reader import LogUnreadable

    form = load_format(target.format)
    sink = make_sink(target, form)
    try:
        result = export_once(LogSource(log), target, sink, form, SiteFacts(), start=start)
    except (LogUnreadable, LogReplaced, RecordUnreadable) as error:
        _fail(str(error), EXIT_UNREADABLE)
    except SinkUnavailable as error:
        _fail(str(error), EXIT_FAILED)
    finally:
        sink.close()
    for refusal in result.refused:
        print(f"{refusal.index}: {refusal.reason}", file=sys.stderr)
    print(f"{result.delivered} records delivered, {len(result.refused)} refused; next index {result.last}")
    raise typer.Exit(EXIT_FAILED if result.refused else 0)


def _fail(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(code)

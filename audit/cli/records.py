"""``enclave-audit show`` and ``prove``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from audit.cli.options import AsJson, LogDir, fail, stamp
from audit.proof import prove as prove_entry
from audit.reader import LogEntry, LogUnreadable, read_entries


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(show)
    app.command()(prove)


def show(
    log_dir: LogDir,
    person: Annotated[str | None, typer.Option(help="Only records by this actor, or about it.")] = None,
    project: Annotated[str | None, typer.Option(help="Only records of this project.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Only this type, such as query:intent.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only records from this time (UTC) on.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only records before this time (UTC).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show published records, oldest first, one per line."""
    wanted = {"project": project, "type": event_type}
    try:
        for entry in select_entries(read_entries(log_dir), person, wanted, stamp(since), stamp(until)):
            print(json_line(entry) if as_json else text_line(entry))
    except LogUnreadable as error:
        fail(str(error), as_json)


def prove(log_dir: LogDir, index: Annotated[int, typer.Argument(help="The record's index.")]) -> None:
    """Print a proof (c2sp.org/tlog-proof) that a record stands in the log."""
    try:
        print(prove_entry(log_dir, index), end="")
    except LogUnreadable as error:
        fail(str(error), as_json=False)


def select_entries(
    entries: Iterator[LogEntry], person: str | None, wanted: dict[str, str | None], since: str, until: str
) -> Iterator[LogEntry]:
    """The entries that match every filter given; times compare as text, which RFC 3339 in UTC allows."""
    for entry in entries:
        leaf = entry.leaf
        if person is not None and person not in (leaf.get("actor"), leaf.get("subject")):
            continue
        if any(value is not None and leaf.get(name) != value for name, value in wanted.items()):
            continue
        at = str(leaf.get("at", ""))
        if (since and at < since) or (until and at >= until):
            continue
        yield entry


def json_line(entry: LogEntry) -> str:
    """One record as a JSON object."""
    fields: dict[str, Any] = {"index": entry.index, "leaf_hash": entry.leaf_hash, "leaf": entry.leaf}
    return json.dumps(fields, ensure_ascii=False)


def text_line(entry: LogEntry) -> str:
    """One record as a line for people; control characters in a record cannot reach the terminal."""
    leaf = entry.leaf
    parts = [f"{entry.index:>8}", str(leaf.get("at", "")), f"{leaf.get('type', '')!s:<28}", str(leaf.get("actor", ""))]
    parts += [f"{name}={leaf[name]}" for name in ("project", "subject", "request_id", "decision") if name in leaf]
    return "".join(character if character.isprintable() else "�" for character in "  ".join(parts))

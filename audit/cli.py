"""``enclave-audit``: run the daemon, verify a log, show records, prove one. Exit codes: 0, 1 failed, 2 unreadable."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from audit.note import NoteError, VerifierKey
from audit.proof import prove as prove_entry
from audit.reader import LogEntry, LogUnreadable, read_entries
from audit.verify import VerifyError, verify_log

EXIT_FAILED = 1
EXIT_UNREADABLE = 2

app = typer.Typer(help="Enclave's audit log.", no_args_is_help=True, add_completion=False)

LogDir = Annotated[Path, typer.Argument(help="The log directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.command()
def verify(
    log_dir: LogDir,
    key: Annotated[str, typer.Option(help="The log's verifier key, or a file that holds it.")],
    since: Annotated[Path | None, typer.Option(help="A signed checkpoint kept from earlier.")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the whole log offline: signature, tree, entries, consistency, files, completeness."""
    try:
        report = verify_log(log_dir, read_key(key), None if since is None else read_text(since))
    except VerifyError as error:
        fail(str(error), as_json)
    print(json.dumps(report.as_json(), ensure_ascii=False) if as_json else "\n".join(report.lines()))
    raise typer.Exit(0 if report.ok else EXIT_FAILED)


@app.command()
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


@app.command()
def prove(log_dir: LogDir, index: Annotated[int, typer.Argument(help="The record's index.")]) -> None:
    """Print a proof (c2sp.org/tlog-proof) that a record stands in the log."""
    try:
        print(prove_entry(log_dir, index), end="")
    except LogUnreadable as error:
        fail(str(error), as_json=False)


@app.command()
def daemon(
    socket: Annotated[Path, typer.Option(help="Unix socket to listen on.")],
    log: Annotated[Path, typer.Option(help="Public log directory.")],
    state: Annotated[Path, typer.Option(help="Private directory: write-ahead log, payloads, keys.")],
    origin: Annotated[str, typer.Option(help="The log's name in its checkpoints.")],
    allow_uid: Annotated[list[int] | None, typer.Option(help="User id that may write; repeatable.")] = None,
) -> None:
    """Run the daemon, the only writer of the log, until SIGTERM."""
    # imported here: an auditor who only verifies needs neither structlog nor the writer's parts
    from audit.daemon.__main__ import DaemonSettings, run
    from audit.daemon.core import LogSettings

    raise typer.Exit(run(DaemonSettings(LogSettings(log, state, origin), socket, tuple(allow_uid or ()))))


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


def stamp(moment: datetime | None) -> str:
    """A time as it stands in a leaf; empty for none. A time without zone is UTC."""
    if moment is None:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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


def read_key(given: str) -> str:
    """A verifier key given as such or as the name of a file that holds it."""
    try:
        return str(VerifierKey.parse(given))
    except NoteError:
        return read_text(Path(given)).strip()


def read_text(path: Path) -> str:
    """A small text file; raise :class:`VerifyError`."""
    try:
        return path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise VerifyError(f"{path.name} cannot be read; give the name of a readable text file.") from error


def fail(sentence: str, as_json: bool) -> NoReturn:
    """Say why nothing could be checked, and exit with 2."""
    if as_json:
        print(json.dumps({"ok": False, "error": sentence}, ensure_ascii=False))
    else:
        print(sentence, file=sys.stderr)
    raise typer.Exit(EXIT_UNREADABLE)


def main() -> None:
    """Entry point of ``enclave-audit``."""
    app()


if __name__ == "__main__":
    main()

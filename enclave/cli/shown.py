"""``enclave shown``: the archive of displayed output. Reading it is decided and recorded first, and needs a key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audit.client import AuditUnavailable
from audit.reader import LogUnreadable
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PROJECT_ID, USERNAME
from enclave.settings import get_settings
from enclave.shown import reading
from enclave.shown.key_setting import set_key
from enclave.shown.sealing import Place, SealError, Shown, read_private_key
from enclave.shown.text import as_text

app = typer.Typer(help="What was shown on screens, where a permit orders that it is kept.", no_args_is_help=True)

_PASSPHRASE = "ENCLAVE_SHOWN_PASSPHRASE"  # noqa: S105  (the variable's name)
_By = Annotated[str, typer.Option(help="Your user name; an auditor or data-protection officer.")]
_Reason = Annotated[str, typer.Option(help="Why; it goes on record.")]


@app.command()
def key(
    out: Annotated[Path, typer.Argument(help="Where the private key goes: a medium that leaves this machine.")],
    replace: Annotated[
        bool, typer.Option(help="There is a key already; what it sealed still needs its private half.")
    ] = False,
) -> None:
    """Make the key pair: the public half into the enclave, the private half into OUT (recorded)."""
    settings, passphrase = get_settings(), _passphrase(confirm=True)
    try:
        with reading.recording(settings) as record:
            name = set_key(settings, record, out, passphrase, replace=replace)
    except AuditUnavailable as error:
        raise RefusedError("The audit log takes no record now, so no key is set.") from error
    except OSError as error:
        raise RefusedError(f"Expected to write the private key to {out}, found {error.strerror}.") from error
    print(f"Key {name}. Private half: {out}. Without it nobody reads the archive: keep two copies, off this machine.")


@app.command("list")
def list_(by: _By, reason: _Reason) -> None:
    """Whose screens of which days are kept."""
    settings = get_settings()
    _admit(by, reason, None)
    for place, size in reading.list_places(settings):
        print(f"{place.day}  {size:>12}  {place.project}  {place.username}")


@app.command()
def read(
    project: str,
    username: str,
    day: Annotated[str, typer.Argument(help="For instance 2026-11-26 (UTC).")],
    key: Annotated[Path, typer.Option(help="The private key.")],
    by: _By,
    reason: _Reason,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON per message, with all it held.")] = False,
) -> None:
    """What one person was shown on one day. Exit code 1 when something cannot be read or does not match the log."""
    settings, place = get_settings(), _place(project, username, day)
    private = _private_key(key)
    _admit(by, reason, place)
    unread = 0
    try:
        for opened in reading.open_lines(place.path(settings.shown_dir), place, private):
            unread += isinstance(opened.content, str)
            print(_as_json(opened) if as_json else f"── {opened.number} {opened.at}\n{_words(opened)}")
    except FileNotFoundError as error:
        raise RefusedError("Nothing of this day is kept for this person.") from error
    is_proven = _say_proof(place)
    raise SystemExit(0 if is_proven and not unread else 1)


@app.command()
def verify(project: str, username: str, day: str) -> None:
    """Is what is kept what was recorded? Needs no key and reads no content. Exit code 1: something is missing."""
    raise SystemExit(0 if _say_proof(_place(project, username, day)) else 1)


def _say_proof(place: Place) -> bool:
    try:
        found = reading.verify(get_settings(), place)
    except LogUnreadable as error:
        raise RefusedError(f"The audit log cannot be read, so nothing is proven: {error}") from error
    text = f"{found.lines} lines; {found.kept} commitments of the log are kept, {len(found.broken)} are not; "
    text += f"{found.uncommitted} lines behind the last one, which no record vouches for yet"
    if found.damaged:
        text += f"; {found.damaged} stretches that are no line"
    typer.echo(text, err=True)
    return found.is_proven


def _place(project: str, username: str, day: str) -> Place:
    if not (PROJECT_ID.fullmatch(project) and USERNAME.fullmatch(username) and reading.is_day(day)):
        raise RefusedError("Expected a project, a user name and a day such as 2026-11-26, found others.")
    return Place(project, username, day)


def _admit(by: str, reason: str, place: Place | None) -> None:
    settings = get_settings()
    try:
        with reading.recording(settings) as record:
            reading.admit(settings, record, by, reason, place)
    except AuditUnavailable as error:
        raise RefusedError("The audit log takes no record now, so nothing is read.") from error


def _passphrase(*, confirm: bool = False) -> bytes | None:
    """From the environment, else asked for; empty: none."""
    given = os.environ.get(_PASSPHRASE)
    if given is None:
        given = typer.prompt("Passphrase (empty: none)", default="", hide_input=True, confirmation_prompt=confirm)
    return given.encode() or None


def _private_key(path: Path) -> X25519PrivateKey:
    try:
        return read_private_key(path, _passphrase())
    except SealError as error:
        raise RefusedError(str(error)) from error


def _words(opened: reading.Opened) -> str:
    return f"!! {opened.content}" if isinstance(opened.content, str) else as_text(opened.content)


def _as_json(opened: reading.Opened) -> str:
    content: Shown | str = opened.content
    found: dict[str, object] = {"number": opened.number, "at": opened.at}
    if isinstance(content, str):
        return json.dumps({**found, "problem": content})
    text = content.content if isinstance(content.content, str) else content.content.decode("utf-8", "replace")
    return json.dumps({**found, "kind": content.kind, "content": text})

"""What the commands share: arguments, reading keys and texts, and how a command fails."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from audit.note import NoteError, VerifierKey
from audit.verify import VerifyError

EXIT_FAILED = 1
EXIT_UNREADABLE = 2

LogDir = Annotated[Path, typer.Argument(help="The log directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def stamp(moment: datetime | None) -> str:
    """A time as it stands in a leaf; empty for none. A time without zone is UTC."""
    if moment is None:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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

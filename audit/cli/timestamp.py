"""``enclave-audit timestamp``: RFC 3161 time stamps carried by hand, and checking one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from audit.checkpoint import open_checkpoint
from audit.cli.options import AsJson, LogDir, fail, read_key, stamp
from audit.note import NoteError, VerifierKey
from audit.reader import LogUnreadable, read_checkpoint
from audit.timestamps import HASHES, TimestampError, build_request, check_response, verify_timestamp
from audit.verify import VerifyError

NoteFile = Annotated[Path, typer.Argument(help="The note that was stamped (<size>.note).")]
TsrFile = Annotated[Path, typer.Argument(help="The authority's answer (<size>.tsr).")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Time stamps (RFC 3161) over checkpoints, for logs without a way to the outside.")
    group.command()(request)
    group.command("import")(import_response)
    group.command()(check)
    app.add_typer(group, name="timestamp", no_args_is_help=True)


def request(
    log_dir: LogDir,
    out: Annotated[Path, typer.Option(help="Folder for <size>.note and <size>.tsq.")],
    hash_name: Annotated[str, typer.Option("--hash", help="sha256 or sha512.")] = HASHES[0],
) -> None:
    """Write a request over the newest checkpoint, to be carried to a time-stamping authority."""
    try:
        note, checkpoint = read_checkpoint(log_dir)
        query, _ = build_request(note, hash_name)
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{checkpoint.size}.note").write_bytes(note)
        (out / f"{checkpoint.size}.tsq").write_bytes(query)
    except (LogUnreadable, TimestampError) as error:
        fail(str(error), as_json=False)
    except OSError as error:
        fail(f"The request cannot be written ({error.strerror}); choose another folder.", as_json=False)
    print(f"{out / str(checkpoint.size)}.tsq")


def import_response(
    note: NoteFile,
    tsr: TsrFile,
    state: Annotated[Path, typer.Option(help="The daemon's private directory.")],
    key: Annotated[str, typer.Option(help="The log's verifier key, or a file that holds it.")],
) -> None:
    """Hand a time stamp to the daemon, which records it and publishes it beside the log."""
    # imported here: an auditor who only verifies has none of the writer's parts
    from audit.daemon.anchoring import put_waiting

    try:
        raw, response = note.read_bytes(), tsr.read_bytes()
        checkpoint = open_checkpoint(raw, VerifierKey.parse(read_key(key)))
        at = check_response(raw, response)
        put_waiting(state / "anchors", checkpoint.size, raw, response)
    except (NoteError, TimestampError, VerifyError) as error:
        fail(str(error), as_json=False)
    except OSError as error:
        fail(f"{error.filename} cannot be read or written ({error.strerror}).", as_json=False)
    print(f"Handed over: {checkpoint.size} records, stamped at {stamp(at)}.")


def check(
    note: NoteFile,
    tsr: TsrFile,
    certificates: Annotated[Path, typer.Option(help="PEM with the authority's root certificate.")],
    as_json: AsJson = False,
) -> None:
    """Check a time stamp against the authority's root certificate."""
    try:
        at = verify_timestamp(note.read_bytes(), tsr.read_bytes(), certificates.read_bytes())
    except TimestampError as error:
        fail(str(error), as_json)
    except OSError as error:
        fail(f"{error.filename} cannot be read ({error.strerror}).", as_json)
    print(json.dumps({"ok": True, "at": stamp(at)}) if as_json else f"Stamped at {stamp(at)}.")

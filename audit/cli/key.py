"""``enclave-audit key``: the log's signing key in a hardware security module."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from audit.cli.options import EXIT_UNREADABLE
from audit.note import NoteError, VerifierKey, check_key_name


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="The log's signing key in a hardware security module (PKCS#11).")
    group.callback()(lambda: None)
    group.command()(generate_pkcs11)
    app.add_typer(group, name="key", no_args_is_help=True)


def generate_pkcs11(
    module: Annotated[Path, typer.Option(help="The vendor's PKCS#11 library.")],
    token: Annotated[str, typer.Option(help="Label of the token.")],
    label: Annotated[str, typer.Option(help="Label of the new key pair.")],
    pin_file: Annotated[Path, typer.Option(help="File with the token's PIN.")],
    origin: Annotated[str, typer.Option(help="The log's name in its checkpoints.")],
) -> None:
    """Make an Ed25519 key pair that cannot be copied out, and print the log's verifier key."""
    from audit.daemon.hardware_key import HardwareKeyError, HardwareKeySettings, generate

    try:
        check_key_name(origin)
        print(VerifierKey(origin, generate(HardwareKeySettings(module, token, label, pin_file))))
    except (HardwareKeyError, NoteError) as error:
        print(str(error), file=sys.stderr)
        raise typer.Exit(EXIT_UNREADABLE) from error

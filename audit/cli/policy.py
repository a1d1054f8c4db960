"""``enclave-audit policy``: read a trust policy and say what it asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from audit.cli.options import AsJson, fail
from audit.policy import Policy, PolicyError, parse_policy, printable


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Trust policies (c2sp.org/tlog-policy).")
    group.callback()(lambda: None)
    group.command()(check)
    app.add_typer(group, name="policy", no_args_is_help=True)


def check(file: Annotated[Path, typer.Argument(help="The policy file.")], as_json: AsJson = False) -> None:
    """Check a policy file and say in words which logs, witnesses and cosignatures it asks for."""
    try:
        policy = parse_policy(file.read_bytes())
    except PolicyError as error:
        fail(str(error), as_json)
    except OSError as error:
        fail(f"{file.name} cannot be read ({error.strerror}); give the name of a readable file.", as_json)
    print(json.dumps(as_fields(policy), ensure_ascii=False) if as_json else "\n".join(lines(policy)))


def as_fields(policy: Policy) -> dict[str, object]:
    """The policy for programs."""
    return {
        "ok": True,
        "logs": [{"vkey": str(log.key), "url": printable(log.url)} for log in policy.logs],
        "witnesses": [
            {"name": printable(item.name), "vkey": str(item.key), "url": printable(item.url)}
            for item in policy.witnesses
        ],
        "needed": policy.needed,
    }


def lines(policy: Policy) -> list[str]:
    """The policy for people."""
    logs = [f"log      {log.key.name}  {printable(log.url)}".rstrip() for log in policy.logs]
    witnesses = [
        f"witness  {printable(item.name)}  {item.key.name} ({item.key.kind_name})  {printable(item.url)}".rstrip()
        for item in policy.witnesses
    ]
    return [*logs, *witnesses, f"quorum   {policy.needed}"]

"""``enclave token``: tokens for tests and tools on the machine, each one recorded."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from enclave.cli.running import set_up_portal
from enclave.domain.ids import ProjectId, Username
from enclave.tokens import DoorKind

app = typer.Typer(help="Workspace tokens for tools on this machine.", no_args_is_help=True)

_UNITS = {"s": 1, "m": 60, "h": 3600}


@app.callback()
def _group() -> None:
    """Keeps ``token`` a group even with one command."""


def parse_duration(text: str) -> timedelta:
    """``90s``, ``15m`` or ``8h``; raises BadParameter."""
    found = re.fullmatch(r"(\d+)([smh])", text)
    if found is None:
        raise typer.BadParameter(f"expected a duration like 90s, 15m or 8h, found {text!r}")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


@app.command()
def issue(
    user: Annotated[str, typer.Option(help="User name of a member of the project.")],
    project: Annotated[str, typer.Option(help="Project id.")],
    ttl: Annotated[str, typer.Option(help="How long it holds, like 15m.")] = "15m",
    tcp: Annotated[bool, typer.Option("--tcp", help="For the gateway's TCP port instead of a socket here.")] = False,
    client: Annotated[str, typer.Option(help="With --tcp: first name in the client certificate it is bound to.")] = "",
) -> None:
    """Print a token for USER in PROJECT (recorded in the audit log)."""
    duration = parse_duration(ttl)
    set_up_portal()
    from enclave.portal.machine import issue_token

    door = DoorKind.TCP if tcp else DoorKind.UNIX
    print(issue_token(Username(user), ProjectId(project), duration, door, client))

"""``enclave person``: the first admin of an enclave, and anybody else's account, from the machine. Each is recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from enclave.cli.running import set_up_portal
from enclave.domain.people import Role

app = typer.Typer(help="Accounts of people.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``person`` a group even with one command."""


@app.command()
def create(
    username: Annotated[str, typer.Argument(help="Name to log in with: lower-case letters, digits, hyphens.")],
    name: Annotated[str, typer.Option(help="Full name.")],
    role: Annotated[list[Role], typer.Option(help="May be given several times.")],
) -> None:
    """Make an account and print its first password, once. Password and second factor become the person's at log-in."""
    settings = set_up_portal()
    from enclave.portal.actions.people import first_password
    from enclave.portal.provision_people import create_person

    password = first_password()
    create_person(username, name, role, password, None)
    print(f"{name} can log in as {username} at {settings.portal_url}")
    print(f"First password, shown only here: {password}")
    print("At the first log-in the portal asks for a password of their own, then to set up the second factor.")
    print("Who has not got this far has no access.")

"""``enclave policy``: why somebody may or may not do something."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from enclave.policy import explain as explain_decision
from enclave.settings import get_settings

app = typer.Typer(help="Access policies (Cedar).", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``policy`` a group even with one command."""


@app.command()
def explain(
    user: Annotated[str, typer.Option(help="User name.")],
    action: Annotated[str, typer.Option(help="For instance query.")],
    resource: Annotated[str, typer.Option(help="Project id.")],
) -> None:
    """Print the decision and the policies it rests on."""
    print(explain_decision(get_settings(), user, action, resource, datetime.now(UTC).date()))

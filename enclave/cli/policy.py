"""``enclave policy``: why somebody may or may not do something."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from enclave.access import AccessFiles
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import ProjectId
from enclave.policy import PolicyAction, PolicyDecisionPoint
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
    access = AccessFiles(get_settings())
    person = next((p for p in access.people().values() if p.username == user), None)
    project = access.project(ProjectId(resource))
    if person is None or project is None:
        what = f"person {user}" if person is None else f"project {resource}"
        raise RefusedError(f"Expected a known {what}, found none in the access files of this enclave.")
    if action not in {known.value for known in PolicyAction}:
        known_actions = ", ".join(sorted(known.value for known in PolicyAction))
        raise RefusedError(f"Expected one of the actions {known_actions}, found {action}.")
    point = PolicyDecisionPoint()
    print(explain_decision(point, person, PolicyAction(action), project, datetime.now(UTC).date()))

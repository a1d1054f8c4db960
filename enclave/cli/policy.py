"""``enclave policy``: why somebody may or may not do something."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated

import typer

from enclave.access import AccessFiles
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import ProjectId
from enclave.domain.people import Person
from enclave.domain.permits import Permit
from enclave.domain.projects import ProjectRecord
from enclave.extracts.permit_file import PermitError, read_permit
from enclave.policy import PolicyAction, PolicyDecisionPoint, Question
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
    resource: Annotated[str, typer.Option(help="Project id, or project/table.")],
) -> None:
    """Print the decision, the policies and facts it rests on, and the rules that narrow the person's tables."""
    access = AccessFiles(get_settings())
    project_id, _, table = resource.partition("/")
    person, project = _find_person(access, user), _find_project(access, project_id)
    known_actions = [known.value for known in PolicyAction]
    if action not in known_actions:
        raise RefusedError(f'Expected one of the actions {", ".join(known_actions)}, found "{action}".')
    permit = _approved_permit(access, project)
    named = _find_table(permit, table) if table else None
    question = Question(person, PolicyAction(action), project, permit, named)
    print(explain_decision(PolicyDecisionPoint(), question, datetime.now(UTC).date()))


def _find_person(access: AccessFiles, user: str) -> Person:
    people: dict[str, Person] = {person.username: person for person in access.people().values()}
    if user in people:
        return people[user]
    raise RefusedError(
        f'Expected the user name of somebody known here, found "{user}"{_hint(user, people)}. '
        "The portal's page People lists everybody; user names, not full names."
    )


def _find_project(access: AccessFiles, project_id: str) -> ProjectRecord:
    project = access.project(ProjectId(project_id))
    if project is not None:
        return project
    raise RefusedError(
        f'Expected a project or project/table, found no project "{project_id}"{_hint(project_id, access.projects())}. '
        f"Projects with a record here: {', '.join(access.projects()) or 'none'}."
    )


def _find_table(permit: Permit | None, name: str) -> str:
    if permit is None:
        raise RefusedError("The approved data permit of this project cannot be read, so its tables are not known.")
    tables = {table.name.lower(): table.name for table in permit.tables}
    if name.lower() in tables:
        return tables[name.lower()]
    raise RefusedError(
        f'Expected a table of the project\'s data permit, found "{name}"{_hint(name, tables)}. '
        f"It grants: {', '.join(sorted(tables.values()))}."
    )


def _approved_permit(access: AccessFiles, project: ProjectRecord) -> Permit | None:
    """The permit in force; None when it cannot be read or is not the approved one, as the gateway judges."""
    file = access.permit_file(project.id)
    try:
        approved = hashlib.sha256(file.read_bytes()).hexdigest() == project.permit_sha256
        return read_permit(file) if approved else None
    except (OSError, PermitError):
        return None


def _hint(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""

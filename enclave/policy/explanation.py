"""Why somebody may or may not do something, as lines for the command line.

Verdict, reasons, the policies that decided with their text, the facts they were decided on, and – for queries – what
the data permit's rules leave of the tables. Non-goal: deciding; it asks the decision point like everybody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from enclave.domain.decisions import Allow, Deny
from enclave.domain.people import Person
from enclave.domain.permits import Permit, TableRule
from enclave.domain.person_rules import rules_for
from enclave.domain.projects import ProjectRecord
from enclave.policy.actions import PolicyAction
from enclave.policy.decision_point import PolicyDecisionPoint


@dataclass(frozen=True)
class Question:
    """May this person do this in this project? ``permit`` None: it cannot be read, so the gateway answers nothing."""

    person: Person
    action: PolicyAction
    project: ProjectRecord
    permit: Permit | None = None
    table: str | None = None
    """Only this table's rule is told; a table of the permit, as it is written there."""


def explain(point: PolicyDecisionPoint, question: Question, today: date) -> str:
    """The answer, several lines. ``today`` in UTC."""
    person, project = question.person, question.project
    decision = point.decide(person, question.action, project, today)
    verdict = "allowed" if isinstance(decision, Allow) else "refused"
    resource = project.id if question.table is None else f"{project.id}/{question.table}"
    lines = [f"{question.action.value} in {resource} by {person.username}: {verdict}"]
    if isinstance(decision, Deny):
        lines += [f"- {reason}" for reason in decision.reasons]
    lines.append(f"policies that decided: {', '.join(decision.policies) or 'none (nothing permits it)'}")
    for policy in decision.policies:
        lines += [f"    {line}" for line in point.text_of(policy).splitlines()]
    lines += ["facts:", *(f"- {fact}" for fact in _facts(person, project, today))]
    return "\n".join([*lines, *_narrowing(question)])


def _facts(person: Person, project: ProjectRecord, today: date) -> Iterator[str]:
    yield f"{person.username} is {'active' if person.active else 'revoked'}"
    yield f"roles: {', '.join(sorted(person.roles)) or 'none'}"
    yield f"member of {project.id}: {'yes' if person.id in project.members else 'no'}"
    yield f"state of the project: {project.state}"
    yield f"the data permit holds until {project.expires_on.isoformat()}; today is {today.isoformat()} (UTC)"


def _narrowing(question: Question) -> Sequence[str]:
    if question.action not in (PolicyAction.QUERY, PolicyAction.LIST_TABLES):
        return ()
    if question.permit is None:
        return ("rules: unknown, the approved data permit cannot be read; the gateway answers nothing until it can",)
    rules = rules_for(question.permit, question.person.username)
    found = [rule for rule in rules.rules if question.table is None or rule.table.lower() == question.table.lower()]
    if not found:
        what = "everything" if question.table is None else f"all of {question.table}"
        return (f"rules of the data permit for {question.person.username}: none, {what} in the extract is visible",)
    return (f"rules of the data permit for {question.person.username}:", *map(_sentence, found))


def _sentence(rule: TableRule) -> str:
    columns = f"only the columns {', '.join(rule.columns)}" if rule.columns else "all columns"
    rows = f"only rows with {rule.rows}" if rule.rows is not None else "all rows"
    return f"- {rule.table}: {columns}, {rows}"

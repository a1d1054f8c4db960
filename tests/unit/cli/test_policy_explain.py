"""``enclave policy explain``: verdict, policies with their text, facts, rules; and help for unknown names."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from enclave.access import AccessFiles
from enclave.cli import policy
from enclave.cli.policy import app
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.settings import Settings

PERMIT = """permit: 1
project: stays-2026
title: Length of stay
purpose: Describe stays.
legal_basis: EHDS art. 53
dataset: {name: warehouse, version: "1"}
people: {researchers: [amelie, karim]}
expires_on: 2099-12-31
pseudonyms: {domain: stays}
dates: {shift_days: 0}
tables:
  visit: {columns: {ward: keep, label: keep}}
  concept: {columns: {concept_id: keep}}
rules:
  - {people: [karim], table: visit, columns: [label], rows: "ward = 'cardiology'"}
"""
KARIM = Person(PersonId("u-00000000000b"), Username("karim"), frozenset({Role.RESEARCHER}))
AMELIE = Person(PersonId("u-00000000000a"), Username("amelie"), frozenset({Role.RESEARCHER}))


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AccessFiles:
    settings = Settings(home=tmp_path)
    monkeypatch.setattr(policy, "get_settings", lambda: settings)
    found = AccessFiles(settings)
    found.write_people([AMELIE, KARIM])
    sha256 = hashlib.sha256(PERMIT.encode()).hexdigest()
    members = frozenset({AMELIE.id, KARIM.id})
    found.write_project(
        ProjectRecord(
            ProjectId("stays-2026"), "S", ProjectState.ACTIVE, ExtractVersion("v1"), sha256, date(2099, 12, 31), members
        )
    )
    found.permit_file(ProjectId("stays-2026")).write_text(PERMIT)
    return found


def explain(user: str = "karim", action: str = "query", resource: str = "stays-2026") -> str:
    arguments = ["explain", "--user", user, "--action", action, "--resource", resource]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


@pytest.mark.usefixtures("access")
@pytest.mark.parametrize("resource", ["stays-2026", "stays-2026/visit", "stays-2026/VISIT"])
def test_it_tells_the_rules_that_narrow(resource: str) -> None:
    text = explain(resource=resource)
    assert text.splitlines()[0] == f"query in {resource.lower()} by karim: allowed"
    assert "policies that decided: researcher-works-in-own-project" in text
    assert '    @id("researcher-works-in-own-project")' in text and "resource.members.contains(principal)" in text
    assert "- state of the project: active" in text and "- roles: researcher" in text
    assert "- visit: only the columns label, only rows with ward = 'cardiology'" in text


@pytest.mark.usefixtures("access")
@pytest.mark.parametrize(("user", "resource"), [("amelie", "stays-2026"), ("karim", "stays-2026/concept")])
def test_it_says_when_nothing_narrows(user: str, resource: str) -> None:
    assert f"rules of the data permit for {user}: none" in explain(user, resource=resource)


def test_a_refusal_has_its_reasons_and_facts(access: AccessFiles) -> None:
    access.write_people([AMELIE, replace(KARIM, active=False)])
    text = explain()
    assert text.startswith("query in stays-2026 by karim: refused\n- Your access has been revoked")
    assert '@id("person-is-revoked")' in text and "- karim is revoked" in text


def test_a_permit_that_is_not_the_approved_one_is_not_believed(access: AccessFiles) -> None:
    access.permit_file(ProjectId("stays-2026")).write_text(PERMIT.replace("cardiology", "all"))
    assert "rules: unknown" in explain()


@pytest.mark.usefixtures("access")
def test_rules_are_not_told_for_actions_that_read_no_table() -> None:
    assert "rules" not in explain(action="open-workspace")


@pytest.mark.usefixtures("access")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"user": "carim"}, 'found "carim" (did you mean "karim"?)'),
        ({"action": "querry"}, "Expected one of the actions query, list-tables"),
        ({"resource": "stays-2025"}, 'found no project "stays-2025" (did you mean "stays-2026"?)'),
        ({"resource": "../../etc"}, "found no project"),
        ({"resource": "stays-2026/visits"}, 'found "visits" (did you mean "visit"?). It grants: concept, visit.'),
    ],
)
def test_names_that_are_not_known_get_help(arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(RefusedError) as found:
        explain(**arguments)
    assert sentence in str(found.value)

"""Labels, sentences and the French catalogue are complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.utils.translation import override

from enclave.domain.accounts import (
    Order,
    OrderKind,
    OrderState,
    OrderVerb,
    decide_on_order,
    decide_order,
    decide_review,
    decide_role_removal,
)
from enclave.domain.decisions import Deny
from enclave.domain.events import EventType
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username
from enclave.domain.packages import PackageState, PackageVerb, decide_package_verb
from enclave.domain.people import Person, Role
from enclave.domain.permits import Treatment
from enclave.domain.projects import (
    Approval,
    ProjectRecord,
    ProjectState,
    ProjectVerb,
    decide_approval,
    decide_transition,
)
from enclave.domain.usage import Position, StorageKind
from enclave.policy.actions import PolicyAction
from enclave.policy.decision_point import PolicyDecisionPoint
from enclave.portal import labels
from enclave.portal.sentences import TEMPLATES, translated_sentence
from enclave.settings import REPOSITORY

PORTAL = REPOSITORY / "enclave" / "portal"
CATALOGUE = PORTAL / "locale" / "fr" / "LC_MESSAGES" / "django.po"


def catalogue(path: Path = CATALOGUE) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale="fr")


def message_ids(found: Catalog) -> set[object]:
    return {(tuple(m.id) if isinstance(m.id, (list, tuple)) else m.id, m.context) for m in found if m.id}


def test_every_enum_value_has_a_label() -> None:
    assert set(PackageState) <= set(labels.LABELS)
    for table, members in (
        (labels.ROLES, Role),
        (labels.STATES, ProjectState),
        (labels.VERBS, ProjectVerb),
        (labels.TREATMENTS, Treatment),
        (labels.EVENTS, EventType),
        (labels.POSITIONS, Position),
        (labels.STORAGE, StorageKind),
    ):
        assert set(table) == {str(member.value) for member in members}


def test_every_message_is_translated_and_none_is_fuzzy() -> None:
    found = catalogue()
    for message in found:
        if message.id:
            texts = message.string if isinstance(message.string, (list, tuple)) else [message.string]
            assert all(texts), message.id
            assert not message.fuzzy, message.id
            assert [str(error) for error in message.check(found)] == [], message.id
    assert found.num_plurals == 2


def test_gaps_in_french_are_gaps_of_the_english_sentence() -> None:
    for message in catalogue():
        english = " ".join(message.id) if isinstance(message.id, (list, tuple)) else message.id
        french = " ".join(message.string) if isinstance(message.string, (list, tuple)) else message.string
        gaps = re.compile(r"\{\w+\}|%\(\w+\)s")
        assert set(gaps.findall(str(french))) <= set(gaps.findall(str(english))), english


def test_the_catalogue_is_that_of_the_pages(tmp_path: Path) -> None:
    """What ``makemessages`` finds now is what the catalogue holds: run it and translate when this fails."""
    assert shutil.which("xgettext"), "gettext is not installed: apt-get install gettext"
    copy = tmp_path / "portal"
    shutil.copytree(PORTAL, copy, ignore=shutil.ignore_patterns("*.mo", "__pycache__"))
    command = [
        sys.executable,
        "-m",
        "django",
        "makemessages",
        "-l",
        "fr",
        "--no-location",
        "--no-wrap",
        "--no-obsolete",
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True, timeout=120)
    fresh = message_ids(catalogue(copy / "locale" / "fr" / "LC_MESSAGES" / "django.po"))
    known = message_ids(catalogue())
    assert fresh - known == set()
    assert known - fresh == set()


def denied() -> Iterator[str]:
    """Every sentence that a rule of projects or an access policy can say."""
    applicant, other = PersonId("u-000000000001"), PersonId("u-000000000002")
    given = (Approval(other, Role.DATA_STEWARD),)
    for by, role in product((applicant, other, PersonId("u-000000000003")), (Role.DATA_STEWARD,)):
        decision = decide_approval(applicant, given, Approval(by, role))
        yield from decision.reasons if isinstance(decision, Deny) else ()
    for verb, state, roles in product(ProjectVerb, ProjectState, (None, frozenset({Role.AUDITOR}))):
        decision = decide_transition(verb, state, roles)
        yield from decision.reasons if isinstance(decision, Deny) else ()
    for package_verb, package_state, role in product(PackageVerb, PackageState, (Role.DATA_STEWARD, Role.RESEARCHER)):
        for person in (applicant, other):
            who = Person(person, Username("name"), frozenset({role}))
            decision = decide_package_verb(package_verb, package_state, applicant, who)
            yield from decision.reasons if isinstance(decision, Deny) else ()
    yield from denied_about_accounts(applicant, other)
    point = PolicyDecisionPoint()
    for state, active, member in product(ProjectState, (True, False), (True, False)):
        record = ProjectRecord(
            ProjectId("some-project"), "Title", state, ExtractVersion("v1"), "0" * 64, date(2026, 1, 1),
            frozenset({applicant} if member else ()),
        )  # fmt: skip
        someone = Person(applicant, Username("name"), frozenset({Role.RESEARCHER}), active=active)
        decision = point.decide(someone, PolicyAction.OPEN_WORKSPACE, record, date(2026, 6, 1))
        yield from decision.reasons if isinstance(decision, Deny) else ()


def denied_about_accounts(one: PersonId, other: PersonId) -> Iterator[str]:
    """Every sentence that a rule of accounts can say."""
    now = datetime(2026, 11, 26, tzinfo=UTC)
    people = [Person(id_, Username("name"), frozenset({role})) for id_ in (one, other) for role in Role]
    for actor, about, has_access, role in product(people, people, (True, False), (None, Role.ADMIN, Role.AUDITOR)):
        found = [decide_order(actor, about, has_access, OrderKind.ADD_ROLE, role), decide_review(actor, about, True)]
        found.append(decide_role_removal(actor, about, role or Role.RESEARCHER))
        for state in OrderState:
            order = Order(OrderKind.ADD_ROLE, role, people[0], about, now, state)
            found.append(decide_on_order(actor, order, has_access, OrderVerb.CONFIRM, now))
        for decision in found:
            yield from decision.reasons if isinstance(decision, Deny) else ()


@pytest.fixture
def compiled() -> None:
    """The machine form that ``make setup`` writes, from the catalogue as it stands."""
    with CATALOGUE.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalogue())
    from django.utils.translation import trans_real

    vars(trans_real)["_translations"].clear()


def test_every_sentence_of_the_rules_is_shown_in_french(compiled: None) -> None:
    sentences = set(denied())
    assert len(sentences) > 20
    with override("fr"):
        untranslated = [sentence for sentence in sentences if translated_sentence(sentence) == sentence]
        assert untranslated == []
        assert "Actif" in translated_sentence("To approve a project it must be submitted; this one is active.")
    with override("en"):
        assert translated_sentence("A sentence of somebody else.") == "A sentence of somebody else."


def test_no_template_swallows_the_sentence_of_another() -> None:
    from enclave.portal.sentences import _pattern

    for one, other in product(TEMPLATES, TEMPLATES):
        if one != other and "{" not in other:
            assert not _pattern(one).fullmatch(other)

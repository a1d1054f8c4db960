"""Requests for packages: what may be asked for, the states of a request, and who decides. Pure.

A request ends in the project's *package set*: all packages that are there, resolved together, in a numbered version
(``p1``, ``p2`` …) that never changes. SATRE 2.1.13.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from enclave.domain.decisions import Allow, Decision, Deny, RefusedError
from enclave.domain.ids import PersonId
from enclave.domain.people import Person, Role

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", re.ASCII)
_OTHER_VERSIONS = 'Expected versions such as "==2.1.0" or ">=1.4,<2", or nothing. Change the versions.'
SET_VERSION = re.compile(r"p[1-9][0-9]{0,5}")
"""Folder name under ``projects/<id>/packages/``."""


class PackageState(StrEnum):
    """Stored strings. ``submitted`` → a steward → ``approved`` → the runner → ``available``."""

    SUBMITTED = "submitted"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    APPROVED = "approved"
    FAILED = "failed"
    AVAILABLE = "available"
    REMOVED = "removed"


class PackageVerb(StrEnum):
    """What people and the runner do to a request."""

    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    RETRY = "retry"
    REMOVE = "remove"
    DELIVER = "deliver"
    FAIL = "fail"


@dataclass(frozen=True)
class PackageTransition:
    """From which states, to which; ``by``: ``steward``, ``requester`` or ``runner``."""

    sources: frozenset[PackageState]
    target: PackageState
    by: str


_S, _V = PackageState, PackageVerb
PACKAGE_TRANSITIONS: dict[PackageVerb, PackageTransition] = {
    _V.APPROVE: PackageTransition(frozenset({_S.SUBMITTED}), _S.APPROVED, "steward"),
    _V.REJECT: PackageTransition(frozenset({_S.SUBMITTED}), _S.REJECTED, "steward"),
    _V.WITHDRAW: PackageTransition(frozenset({_S.SUBMITTED}), _S.WITHDRAWN, "requester"),
    _V.RETRY: PackageTransition(frozenset({_S.FAILED}), _S.APPROVED, "steward"),
    _V.REMOVE: PackageTransition(frozenset({_S.APPROVED, _S.FAILED, _S.AVAILABLE}), _S.REMOVED, "steward"),
    _V.DELIVER: PackageTransition(frozenset({_S.APPROVED, _S.AVAILABLE}), _S.AVAILABLE, "runner"),
    _V.FAIL: PackageTransition(frozenset({_S.APPROVED, _S.AVAILABLE}), _S.FAILED, "runner"),
}
IN_THE_WAY = frozenset({_S.SUBMITTED, _S.APPROVED, _S.FAILED, _S.AVAILABLE})
"""While a request for a name is in one of these, the project cannot ask for the same name again."""


def decide_package_state(verb: PackageVerb, state: PackageState) -> Decision:
    """Does the state allow it, whoever does it?"""
    rule = PACKAGE_TRANSITIONS[verb]
    if state not in rule.sources:
        wanted = " or ".join(sorted(rule.sources))
        return Deny((f"To {verb} a package request it must be {wanted}; this one is {state}.",))
    return Allow((f"package-{verb}",))


def decide_package_verb(verb: PackageVerb, state: PackageState, requester: PersonId, person: Person) -> Decision:
    """May ``person`` do this now? Nobody decides about their own request; removing is open to every steward."""
    rule = PACKAGE_TRANSITIONS[verb]
    if rule.by == "runner":
        return Deny(("Only the runner can do this to a package request. It does so by itself.",))
    if rule.by == "requester" and person.id != requester:
        return Deny(("Only the person who asked for the package can withdraw the request. Reject it instead.",))
    if rule.by == "steward" and Role.DATA_STEWARD not in person.roles:
        return Deny(("Only a data steward decides about packages. Ask a colleague who holds that role.",))
    if rule.by == "steward" and person.id == requester and verb is not PackageVerb.REMOVE:
        return Deny(("You asked for this package, so you cannot decide about it. Another data steward has to decide.",))
    return decide_package_state(verb, state)


def package_offers(state: PackageState, requester: PersonId, person: Person) -> tuple[PackageVerb, ...]:
    """Every button this person gets on a request, in the order of the table."""
    return tuple(v for v in PackageVerb if isinstance(decide_package_verb(v, state, requester, person), Allow))


@dataclass(frozen=True)
class Requirement:
    """A package by its normal name (PEP 503) and the versions that will do (PEP 440; empty: any)."""

    name: str
    versions: str

    def __str__(self) -> str:
        return f"{self.name}{self.versions}"


def check_requirement(name: str, versions: str) -> Requirement:
    """A name and versions, nothing else: no address, no extra, no marker, no option. Raises RefusedError."""
    if not _NAME.fullmatch(name):
        raise RefusedError("Expected a package's name of letters, digits, dots and hyphens. Write the name alone.")
    try:
        found = SpecifierSet(versions if len(versions) <= 100 else "!")
    except InvalidSpecifier:
        raise RefusedError(_OTHER_VERSIONS) from None
    if any(one.operator == "===" for one in found):
        raise RefusedError(_OTHER_VERSIONS)
    return Requirement(canonicalize_name(name), str(found))

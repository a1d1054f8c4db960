"""Who calls, and may they? The checks of every call, in this order, each with a sentence of its own.

1. the token is signed by this enclave and holds now; 2. its person is known, active, and the token was issued after the
last revocation; 3. it was issued for this kind of door: one stolen out of a workspace is worthless at the TCP port, and
where that asks for client certificates the token names the certificate's owner; 4. its project, workspace and person
are the socket's (a project's own socket on the machine takes any workspace of that project; at the TCP port the token
alone says which project); 5. Cedar: project active, permit not expired, member, role; 6. permit and extract
are the approved ones. EHDS art. 73(1)(a): named users only. Non-goal: what the statement may read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from enclave.access import AccessFiles
from enclave.domain.decisions import Allow, RefusedError
from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.domain.manifest import Manifest
from enclave.domain.people import Person
from enclave.domain.person_rules import PersonRules, rules_for
from enclave.domain.projects import ProjectRecord
from enclave.gateway.engine import MANIFEST_FILE
from enclave.gateway.extract_source import ExtractSource
from enclave.gateway.project_files import ProjectFiles, ProjectFilesReader
from enclave.gateway.recent import Recent
from enclave.gateway.remembered import REMEMBERED, RememberedDecisions, VerifiedTokens
from enclave.gateway.shared_files import Stamp, find_stamp
from enclave.policy import PolicyAction, PolicyDecisionPoint
from enclave.tokens import CANARY_WORKSPACE, DoorKind, TokenClaims, TokenError

_BEARER = "bearer "


@dataclass(frozen=True)
class Door:
    """One unix socket: the project it serves and, unless it is the machine's own, the workspace and person.

    Or the TCP port (``kind``), which is no project's.
    """

    project: ProjectId | None
    socket_path: Path | None
    workspace: WorkspaceId | None = None
    person: PersonId | None = None
    kind: DoorKind = DoorKind.UNIX
    asks_certificate: bool = False
    """Clients have shown a certificate, and the token has to name its owner."""
    locations: tuple[str, ...] = ()
    """Addresses of all replicas, for clients that read a result in parts; empty: this same door."""


@dataclass(frozen=True)
class Caller:
    """Somebody who may do ``action``, with everything the call needs."""

    claims: TokenClaims
    person: Person
    record: ProjectRecord
    files: ProjectFiles
    policies: tuple[str, ...]
    token: str

    @cached_property
    def rules(self) -> PersonRules:
        """What the permit leaves of the extract for this person."""
        return rules_for(self.files.permit, self.person.username)

    @property
    def source(self) -> ExtractSource:
        """What this person's queries read."""
        return ExtractSource(self.files.folder, self.rules)

    @cached_property
    def manifest(self) -> Manifest:
        """The extract's manifest with the columns this person may see."""
        return self.rules.narrow(self.files.manifest)


class CallRefusedError(Exception):
    """The call is refused. ``about_token`` says whether the token itself is at fault; ``claims`` only when verified."""

    def __init__(
        self,
        rule: str,
        sentence: str,
        *,
        about_token: bool,
        claims: TokenClaims | None = None,
        policies: tuple[str, ...] = (),
    ) -> None:
        super().__init__(sentence)
        self.rule = rule
        self.sentence = sentence
        self.about_token = about_token
        self.claims = claims
        self.policies = policies


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class _Admitted:
    """A call that was admitted, and the files that said so as they were before they were read; None: not known."""

    caller: Caller
    day: date
    paths: tuple[Path, ...]
    stamps: tuple[Stamp, ...] | None


_Question = tuple[Door, str | None, PolicyAction, str]


class Admission:
    """Every call looks at the access files anew (one ``stat`` each); what else it may remember is in ``remembered``."""

    def __init__(
        self,
        access: AccessFiles,
        public_key: Ed25519PublicKey,
        policy: PolicyDecisionPoint,
        today: Callable[[], date] = _today,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._clock = clock
        self._tokens = VerifiedTokens(public_key, clock)
        self._decisions = RememberedDecisions(policy)
        self._files = ProjectFilesReader(access)
        self._today = today
        self._admitted: Recent[_Question, _Admitted] = Recent(REMEMBERED)

    def admit(self, door: Door, authorization: str | None, action: PolicyAction, peer: str = "") -> Caller:
        """Raises CallRefusedError with the first condition that is not met. ``peer``: the client certificate's name.

        The answer to the same question is the same while none of the files it was read from has changed, the day is
        the same and the token holds; their stamps are taken before they are read.
        """
        question = (door, authorization, action, peer)
        found, stamps = self._admitted.find(question), None
        if found is not None:
            stamps = _stamps(found.paths)
            if stamps is not None and stamps == found.stamps and self._still_holds(found):
                return found.caller
        today = self._today()
        caller = self._examine(door, authorization, action, peer)
        paths = self._read_from(caller)
        known = stamps if found is not None and found.paths == paths else None
        self._admitted.keep(question, _Admitted(caller, today, paths, known))
        return caller

    def _still_holds(self, found: _Admitted) -> bool:
        return found.day == self._today() and found.caller.claims.expires_at > self._clock()

    def _read_from(self, caller: Caller) -> tuple[Path, ...]:
        return (*self._access.read_for(caller.record), caller.files.folder / MANIFEST_FILE)

    def _examine(self, door: Door, authorization: str | None, action: PolicyAction, peer: str) -> Caller:
        token = _bearer(authorization)
        try:
            claims = self._tokens.verify(token)
        except TokenError as error:
            raise CallRefusedError("token-invalid", str(error), about_token=True) from error
        person = self._check_person(claims)
        _check_kind(door, claims, action, peer)
        _check_door(door, claims)
        record = self._record(claims)
        decision = self._decisions.decide(person, _narrowed(claims, action), record, self._today())
        if not isinstance(decision, Allow):
            raise CallRefusedError(
                "policy", " ".join(decision.reasons), about_token=False, claims=claims, policies=decision.policies
            )
        try:
            files = self._files.read(record)
        except RefusedError as error:
            raise CallRefusedError("project-files", str(error), about_token=False, claims=claims) from error
        return Caller(claims, person, record, files, decision.policies, token)

    def _check_person(self, claims: TokenClaims) -> Person:
        try:
            person = self._access.find_person(claims.person)
        except (ValueError, KeyError, OSError) as error:
            sentence = "The list of people cannot be read, so nobody gets in. Tell the administrator."
            raise CallRefusedError("people-unreadable", sentence, about_token=False, claims=claims) from error
        if person is None:
            sentence = "The person of this token is not known here. Ask the administrator for an account."
            raise CallRefusedError("person-unknown", sentence, about_token=True, claims=claims)
        if not person.active:
            sentence = "Your access has been revoked by an administrator. Ask the enclave's administrator why."
            raise CallRefusedError("person-revoked", sentence, about_token=True, claims=claims)
        if claims.issued_at < person.tokens_valid_from:
            sentence = "This token was issued before your access was last changed. Restart the workspace for a new one."
            raise CallRefusedError("token-withdrawn", sentence, about_token=True, claims=claims)
        return person

    def _record(self, claims: TokenClaims) -> ProjectRecord:
        try:
            record = self._access.project(claims.project)
        except (ValueError, KeyError, OSError) as error:
            sentence = "The record of this project cannot be read, so nobody gets in. Tell the administrator."
            raise CallRefusedError("project-unreadable", sentence, about_token=False, claims=claims) from error
        if record is None:
            sentence = f"Project {claims.project} is not known here. Look at its page in the portal."
            raise CallRefusedError("project-unknown", sentence, about_token=False, claims=claims)
        return record


def _stamps(paths: tuple[Path, ...]) -> tuple[Stamp, ...] | None:
    """Of all the files; None when one is not there."""
    found = []
    for path in paths:
        stamp = find_stamp(path)
        if stamp is None:
            return None
        found.append(stamp)
    return tuple(found)


def _bearer(authorization: str | None) -> str:
    if authorization is None or not authorization.lower().startswith(_BEARER):
        raise CallRefusedError(
            "token-missing",
            "Expected the header 'authorization: Bearer …' with this workspace's token, found none. "
            "Read the token from the file that ENCLAVE_TOKEN_FILE names.",
            about_token=True,
        )
    return authorization[len(_BEARER) :].strip()


def _narrowed(claims: TokenClaims, action: PolicyAction) -> PolicyAction:
    """What a canary's token is good for: one kind of query, judged by a policy of its own, and nothing else."""
    if claims.workspace != CANARY_WORKSPACE:
        return action
    if action is not PolicyAction.QUERY:
        sentence = "This token carries an auditor's test query and nothing else. Use a workspace."
        raise CallRefusedError("canary", sentence, about_token=True, claims=claims)
    return PolicyAction.SEND_CANARY


def _check_kind(door: Door, claims: TokenClaims, action: PolicyAction, peer: str) -> None:
    if claims.door is not door.kind:
        sentence = (
            "This token is for a socket on the enclave's machine and is refused at this port. Ask an administrator for "
            "one issued with --tcp."
            if door.kind is DoorKind.TCP
            else "This token is for the gateway's TCP port and is refused at a socket. Use this workspace's own token."
        )
        raise CallRefusedError("token-of-another-door", sentence, about_token=True, claims=claims)
    if door.asks_certificate and (not peer or claims.client != peer):
        sentence = (
            "This token is not bound to the certificate this client shows. Use the certificate it was issued for, or "
            "ask an administrator for a token issued with --client and this certificate's name."
        )
        raise CallRefusedError("token-of-another-certificate", sentence, about_token=True, claims=claims)
    if claims.client and not door.asks_certificate:
        sentence = (
            "This token is bound to a client certificate, and this port asks for none, so the binding cannot be "
            "checked. Ask an administrator for a token without --client."
        )
        raise CallRefusedError("token-binding-unchecked", sentence, about_token=True, claims=claims)
    if door.kind is DoorKind.TCP and action is PolicyAction.REQUEST_RELEASE:
        sentence = "A release is asked for in a workspace, not over this port. Open the workspace."
        raise CallRefusedError("release-over-tcp", sentence, about_token=False, claims=claims)


def _check_door(door: Door, claims: TokenClaims) -> None:
    if door.project is not None and claims.project != door.project:
        sentence = (
            f"This token is for another project; expected one for {door.project}. Use this workspace's own token."
        )
        raise CallRefusedError("token-of-another-project", sentence, about_token=True, claims=claims)
    if door.workspace is not None and claims.workspace != door.workspace:
        sentence = "This token belongs to another workspace. Use the token of the workspace you are in."
        raise CallRefusedError("token-of-another-workspace", sentence, about_token=True, claims=claims)
    if door.person is not None and claims.person != door.person:
        sentence = "This token belongs to another person. Use the token of the workspace you are in."
        raise CallRefusedError("token-of-another-person", sentence, about_token=True, claims=claims)

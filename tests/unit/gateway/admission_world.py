"""One person with a token, a door and one active project, for the tests of admission."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enclave.access import AccessFiles
from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, Username, WorkspaceId
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.gateway.admission import Admission, Door
from enclave.policy import PolicyAction, PolicyDecisionPoint
from enclave.settings import Settings
from enclave.tokens import issue

ALICE = PersonId("u-00000000000a")
PROJECT = ProjectId("heart-study")
WORKSPACE = WorkspaceId("w-0123456789ab")
TODAY = date(2026, 6, 1)
POLICY = PolicyDecisionPoint()

PERMIT = """permit: 1
project: heart-study
title: A study
purpose: Test.
legal_basis: art. 53
dataset: {name: sample, version: "1"}
people: {researchers: [alice]}
expires_on: 2099-12-31
pseudonyms: {domain: heart-study}
dates: {shift_days: 30}
tables:
  person:
    person: person_id
    columns: {person_id: person-pseudonym}
"""
MANIFEST: dict[str, Any] = {
    "project": PROJECT,
    "extract_version": "v1",
    "dataset": "sample",
    "dataset_version": "1",
    "permit_sha256": "0" * 64,
    "built_at": "2026-01-01T00:00:00Z",
    "source_kind": "duckdb",
    "people": 1,
    "opt_outs_listed": 0,
    "opt_outs_matched": 0,
    "date_shift_days": 30,
    "tables": [],
    "dropped_tables": [],
    "files": [],
}


class World:
    """One person in one active project; a test changes one thing."""

    def __init__(self, home: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.access = AccessFiles(Settings(home=home))
        self.person = Person(ALICE, Username("alice"), frozenset({Role.RESEARCHER}))
        sha256 = hashlib.sha256(PERMIT.encode()).hexdigest()
        self.record = ProjectRecord(
            PROJECT,
            "A study",
            ProjectState.ACTIVE,
            ExtractVersion("v1"),
            sha256,
            date(2026, 12, 31),
            frozenset({ALICE}),
        )
        self.door = Door(PROJECT, home / "gateway.sock", WORKSPACE, ALICE)
        self.issued_at = datetime.now(UTC)
        self.ttl = timedelta(minutes=5)
        self.binding: dict[str, Any] = {}
        self.peer = ""
        self.token_project, self.token_workspace, self.token_person = PROJECT, WORKSPACE, ALICE
        self.folder = home / "projects" / PROJECT
        extract = self.folder / "extracts" / "v1"
        extract.mkdir(parents=True)
        (self.folder / "permit.yaml").write_text(PERMIT)
        (extract / "manifest.json").write_text(json.dumps(MANIFEST))

    def token(self) -> str:
        return issue(
            self.key,
            person=self.token_person,
            username=Username("alice"),
            project=self.token_project,
            workspace=self.token_workspace,
            ttl=self.ttl,
            now=self.issued_at,
            **self.binding,
        )

    def admit(self, header: str | None = None, public: Any = None) -> Any:
        self.access.write_people([self.person])
        self.access.write_project(self.record)
        admission = Admission(self.access, public or self.key.public_key(), POLICY, today=lambda: TODAY)
        return admission.admit(self.door, header or f"Bearer {self.token()}", PolicyAction.QUERY, self.peer)

    def remembering(self, **clocks: Any) -> tuple[Admission, str]:
        """An admission that has answered the same question three times and reads nothing the fourth."""
        self.access.write_people([self.person])
        self.access.write_project(self.record)
        admission = Admission(self.access, self.key.public_key(), POLICY, **{"today": lambda: TODAY, **clocks})
        header = f"Bearer {self.token()}"
        callers = [admission.admit(self.door, header, PolicyAction.QUERY) for _ in range(4)]
        assert callers[3] is callers[2]
        return admission, header

"""A whole portal for tests: real Django, SQLite, keys, audit daemon, project, people, outbox. One folder under /tmp.

Django is set up once for a process; each house points its database and ``settings.ENCLAVE`` at a folder of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
import django

django.setup()

# ruff: noqa: E402  (Django has to be set up before its models are imported)
from django.db import connections
from django.test import Client
from django.test.utils import override_settings
from django.utils.translation import override as language
from enclave_test_database import migrate  # type: ignore[import-not-found]

from audit.reader import read_entries
from enclave.domain.people import Role
from enclave.domain.permits import Treatment
from enclave.keys import ensure_keys
from enclave.portal.models import Membership, Project, User
from enclave.portal.record import audit_client
from enclave.settings import REPOSITORY, Settings

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
PERMIT = """\
permit: 1
project: gut-study
title: Gastrointestinal bleeding
purpose: Compare bleeding under two drugs.
legal_basis: Regulation (EU) 2025/327, article 53(1)(e)
dataset: {name: gibleed, version: "2026-1"}
people:
  researchers: [amelie, karim]
expires_on: 2099-12-31
pseudonyms: {domain: gut-study}
dates: {shift_days: 30}
tables:
  person:
    person: person_id
    columns:
      person_id: person-pseudonym
      year_of_birth: band 5
      gender_concept_id: keep
"""
PEOPLE: dict[str, tuple[Role, ...]] = {
    "amelie": (Role.RESEARCHER,),
    "karim": (Role.RESEARCHER,),
    "sofia": (Role.DATA_STEWARD,),
    "paul": (Role.OUTPUT_CHECKER,),
    "nora": (Role.OUTPUT_CHECKER, Role.RESEARCHER),
    "victor": (Role.AUDITOR,),
    "ines": (Role.ADMIN,),
}
GOOD_CSV = b"sex,n_patients\nF,1373\nM,1321\n"
SMALL_CSV = b"sex,n_patients\nF,1373\nM,4\n"


@dataclass
class House:
    """Handles for a test."""

    settings: Settings
    people: dict[str, User] = field(default_factory=dict)
    project: Project | None = None

    def outbox(self, username: str = "amelie") -> Path:
        folder = self.settings.workspaces_dir / "gut-study" / username / "outbox"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(self, name: str, content: bytes, username: str = "amelie") -> str:
        path = self.outbox(username) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def client(self, username: str) -> Client:
        """A browser of this person, logged in with both factors."""
        client = Client(headers={"host": self.settings.portal_name})
        client.force_login(User.objects.get(username=username), backend=BACKEND)
        return client

    def events(self, event_type: str | None = None) -> list[dict[str, Any]]:
        """Published leaves, all that have a receipt: a fresh record is the fence that is waited for."""
        from enclave.domain.events import EventType
        from enclave.portal.record import record

        fence = record(EventType.ACTION_FAILED, None, data={"fence": True})
        audit_client().wait_published(fence.index, self.settings.log_dir)
        leaves = [entry.leaf for entry in read_entries(self.settings.log_dir)]
        return [leaf for leaf in leaves if event_type is None or leaf["type"] == event_type]

    def corrupt(self, digest: str, content: bytes) -> None:
        """What a person with root could do to the vault."""
        path = self.settings.vault_dir / "sha256" / digest[:2] / digest
        path.chmod(0o600)
        path.write_bytes(content)


@contextmanager
def running_house() -> Iterator[House]:
    """Everything on, everything off again at the end."""
    home = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
    settings = Settings(home=home, token_minutes=15)
    for folder in (settings.run_dir, settings.database_dir, settings.workspaces_dir, settings.projects_dir):
        folder.mkdir(parents=True)
    ensure_keys(settings)
    daemon = _start_audit(settings)
    connection = connections["default"]
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = settings.database_dir / "db.sqlite3"
    try:
        with override_settings(ENCLAVE=settings), language("en"):
            migrate(settings.database_dir / "db.sqlite3")
            yield _furnish(House(settings))
            audit_client().close()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def _start_audit(settings: Settings) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "audit.daemon", "--socket", str(settings.audit_socket)]
    command += ["--log", str(settings.log_dir), "--state", str(settings.audit_dir), "--origin", settings.log_origin]
    daemon = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not settings.audit_socket.exists():
        assert daemon.poll() is None, "the audit daemon ended at once"
        assert time.monotonic() < deadline, "the audit daemon did not come up"
        time.sleep(0.02)
    return daemon


def _furnish(house: House) -> House:
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    for number, (username, roles) in enumerate(PEOPLE.items()):
        user = User(username=username, display_name=username.title(), roles=[r.value for r in roles])
        user.person_id = f"u-{number:012x}"
        user.set_unusable_password()
        user.save()
        TOTP.activate(user, generate_totp_secret())
        house.people[username] = user
    house.project = Project.objects.create(
        id="gut-study",
        title="Gastrointestinal bleeding",
        state="active",
        permit_yaml=PERMIT,
        permit_sha256=hashlib.sha256(PERMIT.encode()).hexdigest(),
        applicant=house.people["amelie"],
        extract_version="v1",
        expires_on="2099-12-31",
    )
    house.project.refresh_from_db()
    for username in ("amelie", "karim", "nora"):
        Membership.objects.create(project=house.project, user=house.people[username])
    folder = house.settings.projects_dir / "gut-study" / "extracts" / "v1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest()))
    return house


def manifest() -> dict[str, Any]:
    """Manifest of the project's extract."""
    columns = [("person_id", Treatment.PERSON_PSEUDONYM), ("year_of_birth", Treatment.BAND),
               ("gender_concept_id", Treatment.KEEP)]  # fmt: skip
    return {
        "format": 1, "project": "gut-study", "extract_version": "v1", "dataset": "gibleed", "dataset_version": "2026-1",
        "permit_sha256": "0" * 64, "built_at": "2026-01-01T00:00:00Z", "source_kind": "duckdb", "people": 2694,
        "opt_outs_listed": 0, "opt_outs_matched": 0, "date_shift_days": 30, "dropped_tables": [], "files": [],
        "tables": [{
            "name": "person", "rows": 2694, "source_rows": 2694, "person": "person_id", "dropped_columns": [],
            "dropped_rows_filter": 0, "dropped_rows_opt_out": 0, "dropped_rows_no_person": 0,
            "columns": [{"name": name, "type": "VARCHAR", "treatment": treatment.value} for name, treatment in columns],
        }],
    }  # fmt: skip

"""The same migrations and the same rules on PostgreSQL: a private cluster on a unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from portal_house import permit_text, running_house

from enclave.domain.accounts import OrderVerb
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal.actions import accounts, people, projects
from enclave.portal.models import AccountOrder, Project, User

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _as_postgres(*command: str) -> None:
    """PostgreSQL refuses to run as root."""
    account = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    subprocess.run(command, check=True, capture_output=True, timeout=90, cwd="/tmp", **account)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    assert BINARIES, "PostgreSQL is not installed: apt-get install postgresql"
    programs, folder = BINARIES[-1], Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    data = str(folder / "data")
    _as_postgres(str(programs / "initdb"), "-D", data, "-U", "enclave", "-A", "trust", "--no-sync", "-E", "UTF8")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    _as_postgres(str(programs / "pg_ctl"), "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://enclave@/postgres?host={quote(str(folder), safe='')}"
    finally:
        _as_postgres(str(programs / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def pg_house(cluster: str) -> Iterator[Any]:
    with running_house(http=False, database_url=cluster) as running:
        yield running


def person(username: str) -> User:
    return User.objects.get(username=username)


def test_the_migrations_are_complete_on_postgresql(pg_house: Any) -> None:
    assert connection.vendor == "postgresql"
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_approval_and_activation(pg_house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("pg-one"))
    projects.approve_project(person("sofia"), "pg-one", Role.DATA_STEWARD)
    projects.approve_project(person("diane"), "pg-one", Role.DATA_PROTECTION_OFFICER)
    projects.provision_project(person("ines"), "pg-one")
    project = projects.activate_project("pg-one", "v1")
    assert {member.username for member in project.members.all()} == {"amelie", "karim"}
    assert len(pg_house.events(project="pg-one")) == 5


def test_two_stewards_at_the_same_moment_count_once(pg_house: Any) -> None:
    projects.submit_application(person("amelie"), permit_text("pg-race"))
    barrier, outcomes = threading.Barrier(2), []

    def approve(username: str) -> None:
        try:
            actor = person(username)
            barrier.wait(60)
            projects.approve_project(actor, "pg-race", Role.DATA_STEWARD)
            outcomes.append("approved")
        except RefusedError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=approve, args=(name,)) for name in ("sofia", "tomas")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["approved", "refused"]
    assert len(Project.objects.get(pk="pg-race").given_approvals()) == 1
    assert len(pg_house.events(EventType.APPLICATION_APPROVED, project="pg-race")) == 1


def test_revoking(pg_house: Any) -> None:
    people.revoke_person(person("ines"), person("karim").person_id)
    assert not person("karim").is_active


def test_an_order_by_two_people_and_what_the_database_refuses(pg_house: Any) -> None:
    order = accounts.order_role(person("ines"), person("amelie").person_id, Role.AUDITOR, "Covers for Victor.")
    with pytest.raises(RefusedError):
        accounts.decide_account_order(person("ines"), order.pk, OrderVerb.CONFIRM)
    accounts.decide_account_order(person("diane"), order.pk, OrderVerb.CONFIRM)
    assert person("amelie").role_set == {Role.RESEARCHER, Role.AUDITOR}
    with pytest.raises(IntegrityError), transaction.atomic():
        AccountOrder.objects.filter(pk=order.pk).update(decided_by=order.ordered_by)
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(username="diane").update(reviewed_by=person("diane"), reviewed_at=order.ordered_at)

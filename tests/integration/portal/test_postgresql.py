"""The same migrations and the same rules on PostgreSQL: a private cluster on a unix socket, and on TCP for TLS."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.utils import IntegrityError
from enclave_test_ports import free_port  # type: ignore[import-not-found]
from portal_house import permit_text, running_house

from egress_review.actions.decide import send_back
from egress_review.actions.submit import submit
from egress_review.models import OutputRequest
from enclave.domain.accounts import OrderVerb
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal.actions import accounts, people, projects
from enclave.portal.database_address import database_settings
from enclave.portal.models import AccountOrder, Project, User
from enclave.settings import Settings

MANIFEST = {
    "format": 1, "project": "pg-one", "extract_version": "v1", "dataset": "gibleed", "dataset_version": "2026-1",
    "permit_sha256": "0" * 64, "built_at": "2026-01-01T00:00:00Z", "source_kind": "duckdb", "people": 2694,
    "opt_outs_listed": 0, "opt_outs_matched": 0, "date_shift_days": 30, "dropped_tables": [], "files": [], "tables": [],
}  # fmt: skip
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
    port = free_port()
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    _as_postgres(str(programs / "pg_ctl"), "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://enclave@/postgres?host={quote(str(folder), safe='')}&port={port}"
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


def test_two_next_versions_at_the_same_moment_are_one(pg_house: Any) -> None:
    project = Project.objects.get(pk="pg-one")
    extract = pg_house.settings.projects_dir / "pg-one" / "extracts" / "v1"
    extract.mkdir(parents=True, exist_ok=True)
    (extract / "manifest.json").write_text(json.dumps(MANIFEST))
    outbox = pg_house.settings.workspaces_dir / "pg-one" / "amelie" / "outbox"
    outbox.mkdir(parents=True)
    (outbox / "a.csv").write_text("sex,n\nF,1373\n")
    first = submit(person("amelie"), project, ["a.csv"], "Table", "")
    send_back(person("sofia"), first, "Round the counts.")
    barrier, outcomes = threading.Barrier(2), []

    def follow() -> None:
        try:
            actor = person("amelie")
            barrier.wait(60)
            outcomes.append(submit(actor, project, ["a.csv"], "Table", "", first.pk).version)
        except RefusedError as refused:
            outcomes.append(str(refused))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=follow) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(str, outcomes)) == [
        "2",
        "This version has a next one already. Make the next version of the latest.",
    ]
    with pytest.raises(IntegrityError), transaction.atomic():
        OutputRequest.objects.filter(follows=first).update(version=1)


def answers(cluster: str, query: str) -> tuple[Any, ...]:
    """The name that this connection has in pg_stat_activity and whether it is over TLS; on TCP, asked for as told."""
    port = cluster.rpartition("=")[2]
    made = database_settings(Settings(database_url=f"postgresql://enclave@127.0.0.1:{port}/postgres?{query}"))
    wrapper = DatabaseWrapper({**connections["default"].settings_dict, **made}, "default")
    asked = "SELECT application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
    try:
        with wrapper.cursor() as cursor:
            cursor.execute(f"{asked} WHERE pid = pg_backend_pid()")
            return tuple(cursor.fetchone())
    finally:
        wrapper.close()


def make_certificate(key_file: Path, certificate_file: Path) -> None:
    """One for 127.0.0.1 that is its own authority."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    certificate_file.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))


def turn_tls_on(cluster: str, tmp_path: Path) -> Path:
    """The server's certificate, once it answers over TLS."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        data = Path(cursor.fetchone()[0])
        make_certificate(data / "server.key", data / "server.crt")
        if os.geteuid() == 0:
            shutil.chown(data / "server.key", "postgres", "postgres")
        (data / "server.key").chmod(0o600)
        cursor.execute("ALTER SYSTEM SET ssl = on")
        cursor.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 60
    while answers(cluster, "sslmode=prefer") != ("", True):
        assert time.monotonic() < deadline, "the server does not speak TLS"
        time.sleep(0.02)
    return Path(shutil.copy(data / "server.crt", tmp_path))


def test_how_the_line_is_to_be_protected_reaches_libpq(pg_house: Any, cluster: str, tmp_path: Path) -> None:
    assert answers(cluster, "sslmode=disable&application_name=portal%20one") == ("portal one", False)
    with pytest.raises(OperationalError, match="does not support SSL"):
        answers(cluster, "sslmode=require")
    right, other = turn_tls_on(cluster, tmp_path), tmp_path / "other.crt"
    make_certificate(tmp_path / "other.key", other)
    assert answers(cluster, f"sslmode=verify-full&sslrootcert={quote(str(right))}") == ("", True)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        answers(cluster, f"sslmode=verify-full&sslrootcert={quote(str(other))}")
    assert answers(cluster, "sslmode=disable") == ("", False)


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

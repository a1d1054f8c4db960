"""What an installation does before people come: keys, the producer's sources, the sample people.

Everything after that goes through the same HTTP and Flight interfaces that people and clients use.
"""

from __future__ import annotations

import os

from audit.client import AuditClient
from audit.event import AuditEvent
from enclave.demo.people import DemoPerson, prepare_people
from enclave.demo.witness import prepare_witness
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.permits import Permit
from enclave.extracts.outline import read_source_outline
from enclave.extracts.producer import read_dataset
from enclave.extracts.sample import SAMPLE_TITLE, prepare_sample_hospital, register_for_permit
from enclave.keys import ensure_keys
from enclave.settings import Settings
from enclave.shown.key_setting import set_key
from enclave.shown.reading import recording

DEMO_ARCHIVE_KEY = "unsafe-demo-shown-archive.pem"


def prepare_home(settings: Settings, permit: Permit) -> tuple[DemoPerson, ...]:
    """Before any process runs: keys, names and secrets of the sample people."""
    ensure_keys(settings)
    prepare_witness(settings)
    return prepare_people(settings, permit.researchers)


def install_source(settings: Settings, permit: Permit, source: str) -> None:
    """Register the source on the producer's side. A source that cannot be read or does not fit is refused on record.

    Raises RefusedError.
    """
    try:
        if source:
            register_for_permit(settings, permit, source)
        else:
            prepare_sample_hospital(settings)
    except RefusedError as error:
        data: dict[str, str | int | bool | list[str]] = {"reasons": list(error.reasons), "step": "registration"}
        refusal = AuditEvent(
            type=EventType.EXTRACT_REFUSED,
            actor="system:producer",
            project=permit.project,
            decision="deny",
            data=data,
        )
        client = AuditClient(settings.audit_socket, "producer")
        try:
            client.record(refusal)
        finally:
            client.close()
        raise


def install_people(settings: Settings, people: tuple[DemoPerson, ...], permit: Permit, source: str) -> None:
    """Once the audit daemon runs: create the accounts (each one recorded) and the catalogue's entry."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
    import django

    django.setup()
    from enclave.portal.actions.datasets import put_in_catalogue
    from enclave.portal.models import User
    from enclave.portal.provision_people import create_person

    for person in people:
        if not User.objects.filter(username=person.username).exists():
            create_person(person.username, person.display_name, list(person.roles), person.password, person.totp_secret)
    if permit.workspace.archive_shown and not settings.shown_key.exists():
        with recording(settings) as record:  # a demonstration's key stays in its home; a site's leaves the machine
            set_key(settings, record, settings.root / DEMO_ARCHIVE_KEY, None)
    kind, tables = read_source_outline(settings, read_dataset(settings, permit.dataset).source)
    title = SAMPLE_TITLE if not source else permit.dataset
    put_in_catalogue(permit.dataset, permit.dataset_version, title, kind, tables)

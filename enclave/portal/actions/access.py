"""The access files that gateway and hub read, written from the database (``enclave.access``).

Non-goal: deciding anything. Writers in different processes take turns through a lock file, and each reads the database
only after it holds the lock, so that the last file written is never older than the last commit.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from enclave.access import AccessFiles
from enclave.domain.ids import ProjectId
from enclave.files import write_atomically
from enclave.portal.models import Project, User


@contextmanager
def _one_writer() -> Iterator[AccessFiles]:
    folder = settings.ENCLAVE.access_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield AccessFiles(settings.ENCLAVE)
    finally:
        os.close(descriptor)


def sync_people_file() -> None:
    """Write ``access/people.json``."""
    with _one_writer() as files:
        files.write_people([user.as_person() for user in User.objects.order_by("pk")])


def sync_project_files(project: Project) -> None:
    """Write ``project.json`` and ``permit.yaml`` of one project."""
    with _one_writer() as files:
        _write_project(files, Project.objects.get(pk=project.pk))


def sync_access_files() -> None:
    """Write people and every project; done at each start of the portal."""
    sync_people_file()
    for project in Project.objects.all():
        sync_project_files(project)


def _write_project(files: AccessFiles, project: Project) -> None:
    permit = files.permit_file(ProjectId(project.pk))
    permit.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    content = project.permit_yaml.encode()
    if not permit.exists() or permit.read_bytes() != content:
        write_atomically(permit, content)
    files.write_project(project.as_record())

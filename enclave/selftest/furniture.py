"""What members of a project have beside their homes, made for the throw-away workspace: a shared folder and a package.

Both belong to the reserved project, are there while the probes run, and are on record like any other. Where this
machine can offer no shared folder the workspace has none, and its probes say that there is nothing to try.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from audit.event import AuditEvent
from enclave.domain.events import EventType
from enclave.domain.ids import SELFTEST_PROJECT
from enclave.settings import Settings
from enclave.workspaces.shared_folder import SharedFolderError, SharedFolders, close_for_good
from enclave.workspaces.shared_mount import SharedMount

log = structlog.get_logger()
SHARED_MB = 16
_VERSION = "p1"


@dataclass(frozen=True)
class Furniture:
    """``shared`` None: there is none to be had here."""

    shared: SharedMount | None = None
    packages: str = ""


@contextmanager
def furnished(settings: Settings, record: Callable[[AuditEvent], object]) -> Iterator[Furniture]:
    """Make both and take them away again, also what a killed run has left. Raises OSError, AuditUnavailable."""
    _take_away(settings, record)
    try:
        site_packages = settings.projects_dir / SELFTEST_PROJECT / "packages" / _VERSION / "site-packages"
        site_packages.mkdir(parents=True, mode=0o755)
        (site_packages / "added.py").write_text("VALUE = 1\n")
        yield Furniture(_shared(settings, record), _VERSION)
    finally:
        try:
            _take_away(settings, record)
        except OSError as error:  # still in use: the outcome stands, and the next run begins with this
            log.warning("selftest-furniture-left", reason=str(error))


def _shared(settings: Settings, record: Callable[[AuditEvent], object]) -> SharedMount | None:
    try:
        return SharedFolders(settings, record).open(SELFTEST_PROJECT, SHARED_MB)
    except SharedFolderError:
        return None


def _take_away(settings: Settings, record: Callable[[AuditEvent], object]) -> None:
    shutil.rmtree(settings.projects_dir / SELFTEST_PROJECT, ignore_errors=True)
    folder = settings.shared_dir / SELFTEST_PROJECT
    if not folder.exists():
        return
    close_for_good(settings, SELFTEST_PROJECT)
    kind = EventType.SHARED_FOLDER_DESTROYED.value
    record(AuditEvent(kind, "system:selftest", project=SELFTEST_PROJECT, subject=SELFTEST_PROJECT))
    shutil.rmtree(folder)

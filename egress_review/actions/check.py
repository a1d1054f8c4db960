"""A researcher looks at what the disclosure checks say about their outbox, before asking for anything.

Nothing is kept: what is asked for later is read and checked again. Recorded before the findings are shown, with numbers
only; names of files go into the encrypted payload. Bounded: the data permit's number of files and bytes are read, and
no file is begun after ``SECONDS``; what was not read says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from django.conf import settings

from egress_review.actions.reading import ASKING, reading
from egress_review.actions.recorded import refusals_recorded
from egress_review.actions.submit import approved_permit, extract_manifest, submit_facts
from egress_review.domain.findings import Finding, Severity, count_by_severity
from egress_review.domain.rules import check_submit
from egress_review.domain.sentences import Sentence
from egress_review.snapshot import OutboxFile, list_outbox, read_outbox
from enclave.domain.decisions import RefusedError
from enclave.domain.events import EventType
from enclave.domain.permits import OutputRules
from enclave.portal.models import Project, User
from enclave.portal.record import record

SECONDS = 20.0


@dataclass(frozen=True)
class CheckedFile:
    """One file of the outbox; ``was_read`` is False when a bound was met before it."""

    name: str
    bytes: int
    findings: tuple[Finding, ...]
    was_read: bool = True


def check_outbox(user: User, project: Project) -> tuple[CheckedFile, ...]:
    """Findings file by file, by name. Raises RefusedError (recorded) for whoever may not ask for a release here."""
    with refusals_recorded(user, project=project.pk):
        # Somebody with many open requests may not make another, but may still look.
        check_submit(user.as_person(), replace(submit_facts(user, project), open_requests=0))
        permit, manifest = approved_permit(project), extract_manifest(project)
        with reading(user, ASKING) as reader:
            listed = list_outbox(settings.ENCLAVE, project.pk, user.username)

            def check(name: str, content: bytes) -> tuple[Finding, ...]:
                return reader.check(name, content, permit.outputs, manifest)

            checked = tuple(
                check_files(listed, _reader(project, user, permit.outputs), check, permit.outputs.maximum_files)
            )
    _record(user, project, checked)
    return checked


def check_files(
    listed: list[OutboxFile],
    read: Callable[[str], bytes],
    check: Callable[[str, bytes], tuple[Finding, ...]],
    maximum_files: int,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[CheckedFile]:
    """Read and check in order until a bound is met. ``read`` raises RefusedError with a sentence about the file."""
    ends_at = clock() + SECONDS
    for position, file in enumerate(listed):
        if position >= maximum_files or clock() > ends_at:
            yield CheckedFile(file.name, file.bytes, (_left_out(file.name),), was_read=False)
            continue
        try:
            content = read(file.name)
        except RefusedError as refused:
            yield CheckedFile(file.name, file.bytes, tuple(_unread(file.name, reason) for reason in refused.reasons))
            continue
        yield CheckedFile(file.name, len(content), check(file.name, content))


def _reader(project: Project, user: User, rules: OutputRules) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        return read_outbox(settings.ENCLAVE, project.pk, user.username, [name], rules)[name]

    return read


def _unread(name: str, reason: str) -> Finding:
    return Finding("unreadable", Severity.BLOCKING, name, reason if isinstance(reason, Sentence) else _CANNOT_BE_READ)


def _left_out(name: str) -> Finding:
    return Finding("unreadable", Severity.WARNING, name, _NOT_CHECKED)


_CANNOT_BE_READ = Sentence("This file cannot be read. Look at it in your workspace.")
_NOT_CHECKED = Sentence("Not checked now: the outbox holds more than one look covers. Keep only what you will ask for.")


def _record(user: User, project: Project, checked: tuple[CheckedFile, ...]) -> None:
    by_severity = count_by_severity(finding for file in checked for finding in file.findings)
    record(
        EventType.OUTPUT_REQUEST_CHECKED,
        user,
        project=project.pk,
        decision="allow",
        policies=("output-request-submit",),
        counts={
            "files": len(checked),
            "bytes": sum(file.bytes for file in checked if file.was_read),
            **{f"findings_{severity}": number for severity, number in by_severity.items()},
        },
        data={"checks": sorted({finding.check for file in checked for finding in file.findings})},
        payload={"files": [file.name for file in checked][:100]},
    )

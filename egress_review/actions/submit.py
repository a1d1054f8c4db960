"""A researcher asks for files of their outbox to be released: snapshot, checks, vault, record, then the rows.

EHDS art. 73(2): only non-personal data leave a secure processing environment, after review. The bytes are read once;
what happens in the outbox afterwards changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django.conf import settings

from egress_review.actions.reading import ASKING, reading
from egress_review.actions.recorded import REFUSED, locked, plain_words, refusals_recorded, vault
from egress_review.domain.findings import Finding, Severity, count_by_severity
from egress_review.domain.rules import COMMENT_CHARACTERS, SubmitFacts, check_submit, decide_follow
from egress_review.domain.sentences import Sentence
from egress_review.domain.snapshots import SnapshotFile, sha256, snapshot_sha256
from egress_review.domain.states import OPEN_STATES
from egress_review.models import OutputFile, OutputFinding, OutputRequest, new_request_id
from egress_review.snapshot import read_outbox
from enclave.catalogue.manifests import CatalogueError, find_manifest
from enclave.domain.decisions import RefusedError, check
from enclave.domain.events import EventType
from enclave.domain.ids import ExtractVersion, ProjectId
from enclave.domain.manifest import Manifest
from enclave.domain.permits import Permit
from enclave.domain.projects import ProjectState
from enclave.extracts.permit_file import PermitError, parse_permit
from enclave.portal.models import Project, User
from enclave.portal.record import audited_change

TITLE_CHARACTERS = 200
REQUEST_ID = re.compile(r"r-[0-9a-f]{12}")


def submit(
    user: User, project: Project, names: Sequence[str], title: str, context: str, follows: str = ""
) -> OutputRequest:
    """Make an output request from ``names`` in ``user``'s outbox of ``project``. Raises RefusedError (recorded).

    ``follows``: the id of the version before it, or empty. A request like any other: nothing of an earlier one counts.
    """
    with refusals_recorded(user, project=project.pk, names=names):
        check_submit(user.as_person(), submit_facts(user, project))
        earlier = _version_to_follow(user, project, find_request(follows)) if follows else None
        title, context = plain_words(title), plain_words(context)
        _check_texts(title, context)
        permit, manifest = approved_permit(project), extract_manifest(project)
        with reading(user, ASKING) as reader:
            contents = read_outbox(settings.ENCLAVE, project.pk, user.username, names, permit.outputs)
            findings = reader.check_all(contents, permit.outputs, manifest)
        _keep(contents)
    row = OutputRequest(
        pk=new_request_id(),
        project=project,
        requester=user,
        title=title,
        context=context,
        permit_sha256=permit.sha256,
        extract_version=project.extract_version,
        version=earlier.version + 1 if earlier else 1,
        follows=earlier,
        first_id=(earlier.first_id or earlier.pk) if earlier else None,
    )
    _save(row, [SnapshotFile(name, sha256(content), len(content)) for name, content in contents.items()], findings)
    return row


def version_to_follow(user: User, project: Project, request_id: str) -> OutputRequest:
    """The request that ``user`` may make the next version of. Raises RefusedError (recorded)."""
    with refusals_recorded(user, project=project.pk):
        return _version_to_follow(user, project, find_request(request_id))


def find_request(request_id: str) -> OutputRequest | None:
    """By its id; None for one that does not exist or is no id at all."""
    if not REQUEST_ID.fullmatch(request_id):
        return None
    return OutputRequest.objects.select_related("requester", "followed_by").filter(pk=request_id).first()


def _version_to_follow(user: User, project: Project, row: OutputRequest | None) -> OutputRequest:
    followed = row.as_followed() if row else None
    check(decide_follow(user.as_person(), ProjectId(project.pk), followed))
    assert row is not None  # noqa: S101 - the rule refuses None
    return row


def submit_facts(user: User, project: Project) -> SubmitFacts:
    """What ``rules.decide_submit`` asks, from the database now."""
    states = [state.value for state in OPEN_STATES]
    return SubmitFacts(
        is_member=project.memberships.filter(user=user).exists(),
        is_project_active=project.project_state is ProjectState.ACTIVE,
        permit_expires_on=project.expires_on,
        today=datetime.now(UTC).date(),
        open_requests=OutputRequest.objects.filter(project=project, requester=user, state__in=states).count(),
    )


def approved_permit(project: Project) -> Permit:
    """The data permit exactly as approved. Raises RefusedError when it is not (fail closed)."""
    try:
        permit = parse_permit(project.permit_yaml)
    except PermitError as error:
        raise RefusedError(_NO_PERMIT) from error
    if permit.sha256 != project.permit_sha256:
        raise RefusedError(_NO_PERMIT)
    return permit


_NO_PERMIT = Sentence("The project's data permit is not the one that was approved, so nothing can be released.")


def extract_manifest(project: Project) -> Manifest:
    """The manifest of the project's current extract. Raises RefusedError when it cannot be read (fail closed)."""
    try:
        found = find_manifest(settings.ENCLAVE, ProjectId(project.pk), ExtractVersion(project.extract_version))
    except CatalogueError as error:
        raise RefusedError(_NO_MANIFEST) from error
    if found is None or not project.extract_version:
        raise RefusedError(_NO_MANIFEST)
    return found


_NO_MANIFEST = Sentence("The extract's manifest cannot be read, so its pseudonym columns are unknown. Ask the admin.")


def _check_texts(title: str, context: str) -> None:
    if not 0 < len(title) <= TITLE_CHARACTERS:
        raise RefusedError(Sentence("Expected a title of 1 to %(limit)s characters.", limit=TITLE_CHARACTERS))
    if len(context) > COMMENT_CHARACTERS:
        raise RefusedError(
            Sentence("A comment has at most %(limit)s characters. Shorten it.", limit=COMMENT_CHARACTERS)
        )


def _keep(contents: Mapping[str, bytes]) -> None:
    for content in contents.values():
        vault().store(content)


def _save(row: OutputRequest, files: list[SnapshotFile], findings: tuple[Finding, ...]) -> None:
    row.snapshot_sha256 = snapshot_sha256(row.pk, files)
    by_severity = count_by_severity(findings)
    with audited_change(row.requester, project=row.project_id, subject=row.pk, refusal=REFUSED) as change:
        if row.follows_id:
            # Again and under a lock: two next versions at once are one, and the other is told so.
            _version_to_follow(row.requester, row.project, locked(row.follows_id))
        change.record(
            EventType.OUTPUT_REQUEST_SUBMITTED,
            subject=row.pk,
            decision="allow",
            policies=("output-request-submit",),
            counts={
                "files": len(files),
                "bytes": sum(file.bytes for file in files),
                **{f"findings_{severity}": number for severity, number in by_severity.items()},
            },
            data={
                "snapshot_sha256": row.snapshot_sha256,
                "files_sha256": [file.sha256 for file in files],
                "checks": sorted({finding.check for finding in findings}),
                "permit_sha256": row.permit_sha256,
                "quarantined": by_severity[Severity.BLOCKING] > 0,
                "version": row.version,
                **({"follows": row.follows_id} if row.follows_id else {}),
            },
            payload={"title": row.title, "context": row.context, "files": [file.name for file in files]},
        )
        row.save(force_insert=True)
        OutputFile.objects.bulk_create(
            OutputFile(request=row, position=position, name=file.name, sha256=file.sha256, bytes=file.bytes)
            for position, file in enumerate(files, start=1)
        )
        OutputFinding.objects.bulk_create(OutputFinding.of(row, finding) for finding in findings)

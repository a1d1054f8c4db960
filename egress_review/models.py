"""Relational state of output requests. Rows change only inside ``enclave.portal.record.audited_change``.

The bytes are in the vault; rows hold names, hashes, findings and decisions. The constraints back the rules of
``egress_review.domain.rules`` where a database can: one decision per person, and never the requester's own; one next
version per request, in one line of numbered versions. That a follow-up has the requester and project of
what it follows no constraint of one row can say; the action asks that under a lock.
"""

from __future__ import annotations

import secrets
from typing import Any

from django.db import models
from django.utils import timezone

from egress_review.domain.findings import Finding, Location, Severity
from egress_review.domain.rules import REMARK_CHARACTERS, FollowedFacts, RequestFacts, ReviewFact, Verdict
from egress_review.domain.sentences import Sentence
from egress_review.domain.snapshots import SnapshotFile
from egress_review.domain.states import OPEN_STATES, RequestState
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PersonId, ProjectId
from enclave.portal.models import Project, User


def new_request_id() -> str:
    """``r-`` and 12 hex digits."""
    return f"r-{secrets.token_hex(6)}"


_FIRST = models.Q(version=1, follows__isnull=True, first__isnull=True)
_LATER = models.Q(version__gte=2, follows__isnull=False, first__isnull=False)


class OutputRequest(models.Model):
    """One request to release a snapshot of files. ``snapshot_sha256`` is what approvals cite."""

    id = models.CharField(primary_key=True, max_length=14, default=new_request_id)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="output_requests")
    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="output_requests")
    title = models.CharField(max_length=200)
    context = models.TextField(blank=True)
    state = models.CharField(max_length=12, default=RequestState.SUBMITTED.value, db_index=True)
    snapshot_sha256 = models.CharField(max_length=64)
    permit_sha256 = models.CharField(max_length=64)
    extract_version = models.CharField(max_length=10, blank=True)
    closing_reasons = models.JSONField(default=list)
    """Why the request is void; stored sentences (``stored_sentence``)."""
    receipt = models.TextField(blank=True)
    submitted_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, db_default=1)
    follows = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="followed_by")
    """The version before this one; unique, so that a request has one next version."""
    first = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="later_versions")
    """Version 1; None for version 1 itself."""

    class Meta:
        ordering = ("-submitted_at",)
        constraints = (
            models.CheckConstraint(condition=_FIRST | _LATER, name="later_versions_follow"),
            models.UniqueConstraint(
                fields=["first", "version"], condition=models.Q(first__isnull=False), name="one_line_of_versions"
            ),
        )

    def __str__(self) -> str:
        return self.id

    @property
    def request_state(self) -> RequestState:
        """``state`` as an enum member."""
        return RequestState(self.state)

    @property
    def is_open(self) -> bool:
        """Waits for reviewers."""
        return self.request_state in OPEN_STATES

    @property
    def is_followed(self) -> bool:
        """There is a next version."""
        return getattr(self, "followed_by", None) is not None

    def versions(self) -> models.QuerySet[OutputRequest]:
        """All versions, the first one first."""
        start = self.first_id or self.pk
        rows = OutputRequest.objects.filter(models.Q(pk=start) | models.Q(first=start))
        return rows.order_by("version")

    def snapshot_files(self) -> tuple[SnapshotFile, ...]:
        """The files as frozen values, in the order asked for."""
        return tuple(SnapshotFile(row.name, row.sha256, row.bytes) for row in self.files.all())

    def file_at(self, position: int) -> SnapshotFile:
        """The file at ``position`` (from 1). Raises RefusedError when there is none."""
        row = self.files.filter(position=position).first()
        if row is None:
            raise RefusedError(Sentence("Expected a file of this output request, found no such number."))
        return SnapshotFile(row.name, row.sha256, row.bytes)

    def all_findings(self) -> tuple[Finding, ...]:
        """The findings as frozen values."""
        return tuple(row.as_finding() for row in self.findings.all())

    def as_facts(self) -> RequestFacts:
        """What the rules need to know, read from the database now."""
        reviews = self.reviews.select_related("reviewer").order_by("decided_at", "pk")
        return RequestFacts(
            requester=PersonId(self.requester.person_id),
            state=self.request_state,
            snapshot_sha256=self.snapshot_sha256,
            is_quarantined=self.findings.filter(severity=Severity.BLOCKING.value).exists(),
            reviews=tuple(
                ReviewFact(PersonId(row.reviewer.person_id), Verdict(row.verdict), row.snapshot_sha256)
                for row in reviews
            ),
        )

    def as_followed(self) -> FollowedFacts:
        """What the rules need to know before another request follows this one."""
        return FollowedFacts(
            requester=PersonId(self.requester.person_id),
            project=ProjectId(self.project_id),
            state=self.request_state,
            is_followed=self.is_followed,
        )


class OutputFile(models.Model):
    """One file of the snapshot; its bytes are in the vault under ``sha256``."""

    request = models.ForeignKey(OutputRequest, on_delete=models.CASCADE, related_name="files")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(fields=["request", "position"], name="one_file_per_position"),
            models.UniqueConstraint(fields=["request", "name"], name="one_file_per_name"),
        )

    def __str__(self) -> str:
        return f"{self.request_id} {self.position}"


def stored_sentence(text: str) -> dict[str, Any]:
    """JSON of a sentence that keeps it translatable."""
    if isinstance(text, Sentence):
        return {"template": text.template, "values": dict(text.values)}
    return {"template": text.replace("%", "%%"), "values": {}}


def read_sentence(stored: dict[str, Any]) -> Sentence:
    """Inverse of ``stored_sentence``."""
    return Sentence(stored["template"], **stored["values"])


class OutputFinding(models.Model):
    """One finding about the snapshot, as the checks said it at submission."""

    request = models.ForeignKey(OutputRequest, on_delete=models.CASCADE, related_name="findings")
    check_id = models.CharField(max_length=40)
    severity = models.CharField(max_length=10)
    file = models.CharField(max_length=200)
    message = models.JSONField()
    line = models.PositiveIntegerField(null=True)
    column = models.PositiveIntegerField(null=True)
    cell = models.PositiveIntegerField(null=True)
    output = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.request_id} {self.check_id}"

    @classmethod
    def of(cls, request: OutputRequest, finding: Finding) -> OutputFinding:
        """An unsaved row."""
        place = finding.location
        return cls(
            request=request,
            check_id=finding.check,
            severity=finding.severity.value,
            file=finding.file,
            message=stored_sentence(finding.message),
            line=place.line,
            column=place.column,
            cell=place.cell,
            output=place.output,
        )

    def as_finding(self) -> Finding:
        """The frozen value."""
        return Finding(
            check=self.check_id,
            severity=Severity(self.severity),
            file=self.file,
            message=read_sentence(self.message),
            location=Location(self.line, self.column, self.cell, self.output),
        )


class Review(models.Model):
    """One decision of one reviewer about the snapshot they saw."""

    request = models.ForeignKey(OutputRequest, on_delete=models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="output_reviews")
    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    """Copied from the request, so that the database itself can refuse a decision about oneself."""
    verdict = models.CharField(max_length=10)
    snapshot_sha256 = models.CharField(max_length=64)
    comment = models.TextField(blank=True)
    decided_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("decided_at", "pk")
        constraints = (
            models.UniqueConstraint(fields=["request", "reviewer"], name="one_decision_per_person"),
            models.CheckConstraint(condition=~models.Q(reviewer=models.F("requester")), name="nobody_reviews_oneself"),
        )

    def __str__(self) -> str:
        return f"{self.request_id} {self.verdict}"


class Remark(models.Model):
    """What a reviewer says about one file, or about the place of one finding in it, before deciding."""

    request = models.ForeignKey(OutputRequest, on_delete=models.CASCADE, related_name="remarks")
    file = models.ForeignKey(OutputFile, on_delete=models.CASCADE, related_name="remarks")
    finding = models.ForeignKey(OutputFinding, on_delete=models.CASCADE, null=True, related_name="remarks")
    """None: about the whole file."""
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="output_remarks")
    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    """Copied from the request, as in ``Review``."""
    text = models.CharField(max_length=REMARK_CHARACTERS)
    remarked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("remarked_at", "pk")
        constraints = (
            models.CheckConstraint(
                condition=~models.Q(reviewer=models.F("requester")), name="nobody_remarks_on_own_request"
            ),
        )

    def __str__(self) -> str:
        return f"{self.request_id} {self.pk}"

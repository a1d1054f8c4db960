"""Relational state of the portal: people, projects, approvals, members, the runner's queue, workspaces, datasets.

States are stored as the strings of the domain's enums. Rows are changed only inside
``enclave.portal.record.audited_change``, which records first and commits after.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from enclave.domain.ids import ExtractVersion, PersonId, ProjectId, new_workspace_id
from enclave.domain.packages import IN_THE_WAY, PackageState, Requirement
from enclave.domain.people import Role
from enclave.domain.projects import Approval, ProjectRecord, ProjectState
from enclave.portal.people_models import AccountOrder as AccountOrder
from enclave.portal.people_models import User as User


class Project(models.Model):
    """An application and the project space it becomes."""

    id = models.CharField(primary_key=True, max_length=30)
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    state = models.CharField(max_length=20, default=ProjectState.SUBMITTED.value, db_index=True)
    permit_yaml = models.TextField()
    permit_sha256 = models.CharField(max_length=64)
    applicant = models.ForeignKey(User, on_delete=models.PROTECT, related_name="applications")
    extract_version = models.CharField(max_length=10, blank=True)
    packages_version = models.CharField(max_length=10, blank=True)
    """Version of the package set that a workspace gets at its start; empty: none."""
    expires_on = models.DateField()
    failure = models.TextField(blank=True)
    """Why the last build of the extract failed; sentences, one per line."""
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)
    members = models.ManyToManyField(User, through="Membership", related_name="projects")

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.id

    @property
    def project_state(self) -> ProjectState:
        """``state`` as an enum member."""
        return ProjectState(self.state)

    def given_approvals(self) -> tuple[Approval, ...]:
        """All approvals as frozen values, oldest first."""
        rows = self.approvals.select_related("by").order_by("given_at", "pk")
        return tuple(Approval(by=PersonId(row.by.person_id), as_role=Role(row.as_role)) for row in rows)

    def as_record(self) -> ProjectRecord:
        """The frozen value of ``project.json``: members are the people who may work in the project now."""
        active = self.memberships.filter(user__is_active=True).values_list("user__person_id", flat=True)
        return ProjectRecord(
            id=ProjectId(self.id),
            title=self.title,
            state=self.project_state,
            extract_version=ExtractVersion(self.extract_version) if self.extract_version else None,
            permit_sha256=self.permit_sha256,
            expires_on=self.expires_on,
            members=frozenset(PersonId(person) for person in active),
        )


class ProjectApproval(models.Model):
    """One approval of an application. The constraints back the rule of ``domain.projects.decide_approval``."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="approvals")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="approvals_given")
    as_role = models.CharField(max_length=30)
    comment = models.TextField(blank=True)
    given_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("given_at",)
        constraints = (
            models.UniqueConstraint(fields=["project", "by"], name="one_approval_per_person"),
            models.UniqueConstraint(fields=["project", "as_role"], name="one_approval_per_role"),
        )

    def __str__(self) -> str:
        return f"{self.project_id} {self.as_role}"


class ProjectEvent(models.Model):
    """A line of a project's timeline; ``audit_index`` points at its record in the log."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="events")
    type = models.CharField(max_length=60)
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    note = models.TextField(blank=True)
    audit_index = models.BigIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("at", "pk")

    def __str__(self) -> str:
        return f"{self.project_id} {self.type}"


class Membership(models.Model):
    """A person whom the data permit names as a researcher of the project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_person"),)

    def __str__(self) -> str:
        return f"{self.project_id} {self.user_id}"


class Destruction(models.Model):
    """What was destroyed of a closed project, one line per folder; ``audit_index`` points at its record in the log."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="destructions")
    kind = models.CharField(max_length=20)
    """``RemainKind`` value."""
    name = models.CharField(max_length=255)
    """Of an extract its version, of a home or scratch space the username."""
    token = models.CharField(max_length=20, unique=True)
    """Of the folder that was set aside: a removal that begins anew is not a second destruction."""
    files = models.BigIntegerField()
    bytes = models.BigIntegerField()
    audit_index = models.BigIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("at", "pk")

    def __str__(self) -> str:
        return f"{self.project_id} {self.kind} {self.name}"


class PackageRequest(models.Model):
    """One package that a project asked for. The constraints back the rules of ``domain.packages``."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="package_requests")
    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="package_requests")
    name = models.CharField(max_length=100)
    versions = models.CharField(max_length=100, blank=True)
    reason = models.TextField()
    state = models.CharField(max_length=12, default=PackageState.SUBMITTED.value, db_index=True)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    comment = models.TextField(blank=True)
    """The steward's words."""
    outcome = models.TextField(blank=True)
    """Why it failed; sentences, one per line."""
    installed = models.CharField(max_length=100, blank=True)
    """The version that is there."""
    submitted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-submitted_at", "-pk")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=True) | ~models.Q(decided_by=models.F("requester")),
                name="nobody_decides_about_own_package",
            ),
            models.UniqueConstraint(
                fields=["project", "name"],
                condition=models.Q(state__in=sorted(IN_THE_WAY)),
                name="one_open_request_per_package",
            ),
        )

    def __str__(self) -> str:
        return f"{self.project_id} {self.name}"

    @property
    def package_state(self) -> PackageState:
        """``state`` as an enum member."""
        return PackageState(self.state)

    @property
    def requirement(self) -> Requirement:
        """As the mirror is asked."""
        return Requirement(self.name, self.versions)


class JobState(models.TextChoices):
    """States of a job in the runner's queue."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobKind(models.TextChoices):
    """What the runner can be asked to do, with the keys of ``payload``."""

    BUILD_EXTRACT = "build-extract"
    """``{"project": id}``"""
    STOP_WORKSPACES = "stop-workspaces"
    """``{"person": person id}`` or ``{"project": id}``"""
    RELEASE = "release"
    """``{"request": id of an output request}``"""
    INGRESS_PACKAGES = "ingress-packages"
    """``{"project": id, "request": number of a package request, or 0 to make the set again}``"""
    SEND_CANARY = "send-canary"
    """``{"project": id, "person": id of the auditor, "sql": the statement}``"""


class Job(models.Model):
    """One row of the runner's queue."""

    kind = models.CharField(max_length=30, choices=JobKind.choices)
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED, db_index=True)
    error = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("created_at", "pk")

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class WorkspaceState(models.TextChoices):
    """States of a workspace as the portal knows them."""

    RUNNING = "running"
    STOPPED = "stopped"


class WorkspaceSession(models.Model):
    """One workspace of one person in one project, from its start to its stop."""

    id = models.CharField(primary_key=True, max_length=14, default=new_workspace_id)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="workspaces")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="workspaces")
    state = models.CharField(max_length=10, choices=WorkspaceState.choices, default=WorkspaceState.RUNNING)
    started_at = models.DateTimeField(default=timezone.now)
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-started_at",)

    def __str__(self) -> str:
        return self.id


class Dataset(models.Model):
    """A row of the catalogue: what an application can ask for. No path and no credential of the source."""

    name = models.CharField(max_length=60)
    version = models.CharField(max_length=40)
    description = models.TextField(blank=True)
    source_kind = models.CharField(max_length=20, blank=True)
    tables = models.JSONField(default=list)
    """See ``domain.source_outline.stored_outline``."""
    registered_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name", "version")
        constraints = (models.UniqueConstraint(fields=["name", "version"], name="one_row_per_dataset_version"),)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

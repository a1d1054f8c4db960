"""The home page: what waits for me, by role. Also the health probe."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from enclave.domain.packages import PackageState
from enclave.domain.people import Role
from enclave.domain.projects import APPROVALS_NEEDED, ProjectState, ProjectVerb
from enclave.portal.accounts_page import orders_waiting, reviews_due
from enclave.portal.actions.projects import facts_of, visible_projects
from enclave.portal.actions.workspaces import can_work
from enclave.portal.models import PackageRequest, Project, User, WorkspaceSession, WorkspaceState
from enclave.portal.permissions import SignedInRequest, public, signed_in
from enclave.portal.rules import project_offers


@dataclass
class Section:
    """A list of projects under a heading; empty ones say what that means."""

    heading: str | Promise
    empty: str | Promise
    projects: list[Project] = field(default_factory=list)
    route: str = "project-detail"


@signed_in
def home(request: SignedInRequest) -> HttpResponse:
    """What waits for me."""
    user = request.user
    spaces = [project for project in visible_projects(user).filter(memberships__user=user) if can_work(user, project)]
    context = {
        "sections": sections_for(user),
        "spaces": spaces,
        "is_researcher": Role.RESEARCHER in user.role_set,
        "is_auditor": Role.AUDITOR in user.role_set,
        "is_admin": Role.ADMIN in user.role_set,
        "checks_outputs": bool({Role.DATA_STEWARD, Role.OUTPUT_CHECKER} & user.role_set),
        "orders_waiting": orders_waiting(user),
        "reviews_due": reviews_due(user),
        "people_count": User.objects.filter(is_active=True).count(),
        "active_count": Project.objects.filter(state=ProjectState.ACTIVE.value).count(),
        "running_count": WorkspaceSession.objects.filter(state=WorkspaceState.RUNNING).count(),
    }
    return render(request, "portal/home.html", context)


def sections_for(user: User) -> list[Section]:
    """Lists of projects that wait for a person, by the roles the person holds."""
    sections = []
    if APPROVALS_NEEDED & user.role_set:
        waiting = _with_offer(user, ProjectState.SUBMITTED, ProjectVerb.APPROVE)
        if Role.DATA_STEWARD in user.role_set:
            sections.append(_packages_waiting(user))
        sections.append(
            Section(_("Applications waiting for your decision"), _("No application waits for you."), waiting)
        )
    if Role.ADMIN in user.role_set:
        waiting = _with_offer(user, ProjectState.APPROVED, ProjectVerb.PROVISION)
        waiting += _with_offer(user, ProjectState.FAILED, ProjectVerb.PROVISION)
        sections.append(Section(_("Projects to prepare"), _("No approved project waits to be prepared."), waiting))
    if Role.RESEARCHER in user.role_set:
        mine = list(Project.objects.filter(applicant=user).exclude(state=ProjectState.ACTIVE.value))
        sections.append(Section(_("Your applications under way"), _("You have no application under way."), mine))
    return sections


def _packages_waiting(user: User) -> Section:
    """Projects in which somebody else asked for a package."""
    asked = PackageRequest.objects.filter(state=PackageState.SUBMITTED).exclude(requester=user)
    waiting = list(Project.objects.filter(pk__in=asked.values("project_id")))
    return Section(_("Projects that ask for a package"), _("No package waits for your decision."), waiting, "packages")


def _with_offer(user: User, state: ProjectState, verb: ProjectVerb) -> list[Project]:
    person = user.as_person()
    found = Project.objects.filter(state=state.value).select_related("applicant").order_by("created_at")
    return [p for p in found if any(offer.verb is verb for offer in project_offers(facts_of(p), person))]


@public
def health(request: HttpRequest) -> JsonResponse:
    """200 when the database answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})

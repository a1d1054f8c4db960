"""A page for each person, project, dataset and query of the audit log."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from audit.index import Wanted
from enclave.domain.ids import PersonId, ProjectId
from enclave.domain.people import Role
from enclave.portal.auditing import log, rows
from enclave.portal.auditing.subjects import portrait_of, story_of
from enclave.portal.models import Project, User
from enclave.portal.permissions import SignedInRequest, requires
from enclave.portal.views.audit import record_reading


def _portrait(
    request: SignedInRequest, wanted: Wanted, query: dict[str, str], by: tuple[str, ...], **more: Any
) -> HttpResponse:
    portrait = portrait_of(log.fresh_index(), wanted, query, by, rows.names_by_id())
    return render(request, "portal/audit_subject.html", {"portrait": portrait, **more})


@requires(Role.AUDITOR)
@require_GET
def person(request: SignedInRequest, person: PersonId) -> HttpResponse:
    """What one person did, and what was done about them."""
    record_reading(request.user, "person", data={"persons": [person]})
    user = User.objects.filter(person_id=person).first()
    wanted = Wanted(persons=frozenset({person}))
    name = str(user) if user else person
    return _portrait(
        request,
        wanted,
        {"person": person},
        ("type", "project", "table"),
        kind=_("Person"),
        name=name,
        identifier=person,
        roles=user.roles if user else [],
    )


@requires(Role.AUDITOR)
@require_GET
def project(request: SignedInRequest, project: ProjectId) -> HttpResponse:
    """What happened in one project."""
    record_reading(request.user, "project", project=project)
    found = Project.objects.filter(pk=project).first()
    return _portrait(
        request,
        Wanted(project=project),
        {"project": project},
        ("person", "type", "table"),
        kind=_("Project"),
        name=found.title if found else project,
        identifier=project,
    )


@requires(Role.AUDITOR)
@require_GET
def dataset(request: SignedInRequest, name: str) -> HttpResponse:
    """Who asked what of one dataset (any version of it, unless ``name@version``)."""
    record_reading(request.user, "dataset", data={"dataset": name})
    wanted = Wanted(dataset=name)
    return _portrait(
        request, wanted, {"dataset": name}, ("person", "project", "table"), kind=_("Dataset"), name=name, identifier=""
    )


@requires(Role.AUDITOR)
@require_GET
def query(request: SignedInRequest, request_id: str) -> HttpResponse:
    """One query from intent to outcome."""
    record_reading(request.user, "query", data={"request": request_id})
    story = story_of(log.fresh_index(), request_id, rows.names_by_id())
    if story is None:
        raise Http404
    return render(request, "portal/audit_query.html", {"story": story})

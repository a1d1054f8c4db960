"""What every page knows: hospital, navigation by role, language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from enclave.domain.people import Role
from enclave.portal.models import User


@dataclass(frozen=True)
class NavigationItem:
    """One link of the header."""

    route: str
    label: str | Promise
    roles: frozenset[Role]


_ALL = frozenset(Role)
NAVIGATION: tuple[NavigationItem, ...] = (
    NavigationItem("home", _("Home"), _ALL),
    NavigationItem("project-list", _("Projects"), _ALL),
    NavigationItem("apply", _("Apply for a project"), frozenset({Role.RESEARCHER})),
    NavigationItem("egress_review:list", _("Outputs"), _ALL - {Role.AUDITOR, Role.ADMIN}),
    NavigationItem("dataset-list", _("Datasets"), _ALL),
    NavigationItem("people-list", _("People"), frozenset({Role.ADMIN})),
    NavigationItem("access-review", _("Access review"), frozenset({Role.DATA_PROTECTION_OFFICER, Role.AUDITOR})),
    NavigationItem("usage-list", _("Usage"), frozenset({Role.ADMIN})),
    NavigationItem("audit-list", _("Audit log"), frozenset({Role.AUDITOR})),
    NavigationItem("alert-list", _("Alerts"), frozenset({Role.AUDITOR})),
    NavigationItem("shown-list", _("Archives of the screen"), frozenset({Role.DATA_PROTECTION_OFFICER})),
)


def page(request: HttpRequest) -> dict[str, Any]:
    """Context processor."""
    user = getattr(request, "user", None)
    person = user if isinstance(user, User) else None
    return {
        "hospital": settings.ENCLAVE.hospital,
        "hub_url": settings.ENCLAVE.hub_url,
        "is_demo": settings.ENCLAVE.demo,
        "person": person,
        "navigation": list(_links(request, person)) if person and not person.must_change_password else [],
        "languages": settings.LANGUAGES,
    }


def _links(request: HttpRequest, person: User) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = []
    for item in NAVIGATION:
        if not item.roles & person.role_set:
            continue
        try:
            url = reverse(item.route)
        except NoReverseMatch:
            continue
        here = request.path == url or (url != "/" and request.path.startswith(url))
        links.append({"url": url, "label": item.label, "here": here})
    if sum(link["here"] for link in links) > 1:  # /projects/apply/ lies under /projects/: the longer one is meant
        longest = max((link for link in links if link["here"]), key=lambda link: len(str(link["url"])))
        for link in links:
            link["here"] = link is longest
    return links

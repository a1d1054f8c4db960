"""Every route declares who may open it; the declaration holds at the HTTP interface; refusals are on record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from portal_house import PASSWORD, page_words, permit_text

from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal.actions import projects
from enclave.portal.models import Project, User
from enclave.portal.permissions import LIBRARY_ROUTES, Access, Audience, find_access

EXAMPLES = {
    "project": "walked-one",
    "person": "u-000000000000",
    "index": "0",
    "key": "k",
    "uidb36": "1",
    "rule": "off-hours",
    "alert": "off-hours-00000000000000000000",
}
ALL_IN_ONE = "both"


def routes(patterns: Any = None, prefix: str = "/", namespace: str = "") -> Iterator[tuple[str, str, Any]]:
    """(name with namespace, path with examples filled in, view) of every route there is."""
    for entry in patterns if patterns is not None else get_resolver().url_patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from routes(entry.url_patterns, prefix + str(entry.pattern), inner)
        else:
            assert isinstance(entry, URLPattern)
            yield f"{namespace}{entry.name}", _filled(prefix + str(entry.pattern)), entry.callback


def _filled(pattern: str) -> str:
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", pattern.replace("^", "").replace("$", ""))
    return re.sub(
        r"<(?:(\w+):)?(\w+)>",
        lambda m: "1" if m[1] == "int" else EXAMPLES.get(m[1]) or EXAMPLES.get(m[2], "example"),
        plain,
    )


def declared() -> list[tuple[str, str, Access]]:
    found = []
    for name, path, view in routes():
        access = find_access(view, name)
        assert access is not None, f"the route {name} ({path}) declares no permission"
        found.append((name, path, access))
    return found


def test_every_route_declares_its_permission() -> None:
    assert len(declared()) > 40


def test_the_table_of_library_routes_names_no_route_that_is_not_there() -> None:
    names = {name for name, _path, _view in routes()}
    unknown = {name for name in LIBRARY_ROUTES if name not in names} - {"mfa_trust"}
    assert unknown == set()


def test_only_what_must_be_public_is_public() -> None:
    public = {name for name, _path, access in declared() if access.audience is Audience.PUBLIC}
    assert public == {
        "health", "set_language", "account_login", "account_logout", "account_inactive", "mfa_authenticate",
        "idp:oidc:configuration", "idp:oidc:jwks", "idp:oidc:authorization", "idp:oidc:token", "idp:oidc:revoke",
        "idp:oidc:userinfo", "idp:oidc:logout",
    }  # fmt: skip


def test_strangers_open_nothing_but_public_pages(house: Any) -> None:
    browser = house.browser()
    for name, path, access in declared():
        answer = browser.get(path)
        match access.audience:
            case Audience.PUBLIC:
                continue
            case Audience.CLOSED:
                assert answer.status_code == 404, name
            case Audience.SERVICE:
                assert answer.status_code == 403, name
            case _:
                assert answer.status_code in (302, 403, 405), (name, answer.status_code)
                if answer.status_code == 302:
                    assert answer.headers["location"].startswith("/accounts/login/"), name


@pytest.mark.parametrize("username", ["amelie", "sofia", "diane", "victor", "ines"])
def test_roles_open_only_their_pages(house: Any, username: str) -> None:
    browser = house.logged_in(username)
    held = User.objects.get(username=username).role_set
    token = browser.csrf("/")
    for name, path, access in declared():
        if access.audience is Audience.ROLES and not access.roles & held:
            for answer in (browser.get(path), browser.http.post(path, data={"csrfmiddlewaretoken": token})):
                assert answer.status_code == 403, (name, answer.status_code)
    person = User.objects.get(username=username).person_id
    refused = [leaf for leaf in house.events(EventType.ACTION_REFUSED) if leaf["actor"] == person]
    assert len(refused) > 5
    assert all(leaf["decision"] == "deny" for leaf in refused)


def test_the_internal_api_answers_nobody_without_the_secret(house: Any) -> None:
    body = {"username": "amelie", "project": "walked-one"}
    paths = [path for _name, path, access in declared() if access.audience is Audience.SERVICE]
    assert len(paths) >= 3
    for secret in ("", "0" * 64, "é"):
        for path in paths:
            header = [(b"X-Enclave-Service", secret.encode())]
            assert house.browser().http.post(path, json=body, headers=header).status_code == 403
    insider = house.logged_in(ALL_IN_ONE)
    for path in paths:
        assert insider.http.post(path, json=body).status_code == 403
    assert any(leaf["policies"] == ["service-secret"] for leaf in house.events(EventType.ACTION_REFUSED))


def test_forms_from_another_site_are_refused(house: Any) -> None:
    projects.submit_application(User.objects.get(username="amelie"), permit_text("forged-form"))
    sofia = house.logged_in("sofia")
    forged = sofia.http.post("/projects/forged-form/approve", data={"as_role": "data-steward"})
    assert forged.status_code == 403
    token = sofia.csrf("/")
    headers = {"Origin": "http://hub.localhost:8000"}
    data = {"as_role": "data-steward", "csrfmiddlewaretoken": token}
    assert sofia.http.post("/projects/forged-form/approve", data=data, headers=headers).status_code == 403
    assert Project.objects.get(pk="forged-form").given_approvals() == ()


def test_what_people_type_is_shown_as_text(house: Any) -> None:
    script = "<script>alert(1)</script>"
    projects.submit_application(User.objects.get(username="amelie"), permit_text("script-in"), script, script)
    projects.approve_project(User.objects.get(username="sofia"), "script-in", Role.DATA_STEWARD, script)
    for username, path in (("sofia", "/projects/script-in/"), ("diane", "/"), ("amelie", "/projects/")):
        assert "<script" not in house.logged_in(username).get(path).text


def test_the_log_in_leads_to_no_other_site(house: Any) -> None:
    browser = house.browser()
    token = browser.csrf("/accounts/login/?next=https://elsewhere.example/")
    away = {"next": "https://elsewhere.example/", "csrfmiddlewaretoken": token}
    browser.http.post("/accounts/login/", data={"login": "tomas", "password": PASSWORD, **away})
    code = {"code": house.unused_code("tomas"), "next": "https://elsewhere.example/"}
    done = browser.post("/accounts/2fa/authenticate/", code, form="/accounts/2fa/authenticate/")
    assert done.headers["location"] == "/"


@pytest.mark.parametrize("project", ["x" * 3000, "Upper", "a", "..%2f..%2fetc", "a%00b", "project:colon"])
def test_addresses_of_another_shape_are_not_found(house: Any, project: str) -> None:
    browser = house.logged_in("sofia")
    assert browser.get(f"/projects/{project}/").status_code == 404
    form = {"as_role": "data-steward", "csrfmiddlewaretoken": browser.csrf("/")}
    assert browser.http.post(f"/projects/{project}/approve", data=form).status_code == 404


def test_another_host_name_is_not_served(house: Any) -> None:
    answer = house.browser().get("/accounts/login/", headers={"Host": "elsewhere.example"})
    assert answer.status_code == 400
    assert "elsewhere.example" not in page_words(answer)


def test_a_session_is_of_no_use_to_the_origin_of_the_workspaces(house: Any) -> None:
    browser = house.logged_in("amelie")
    for cookie in browser.http.cookies.jar:
        assert cookie.domain == "portal.localhost"
        assert not cookie.domain_specified


def test_nobody_uses_a_second_role_they_do_not_hold(house: Any) -> None:
    projects.submit_application(User.objects.get(username="amelie"), permit_text("wrong-role"))
    answer = house.logged_in("sofia").post("/projects/wrong-role/approve", {"as_role": Role.DATA_PROTECTION_OFFICER})
    assert answer.status_code == 403
    assert Project.objects.get(pk="wrong-role").given_approvals() == ()

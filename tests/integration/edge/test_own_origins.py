"""Each workspace at its own origin: the way there, and what the others' origins are refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from enclave_test_stand import Stand  # type: ignore[import-not-found]
from stand_in_workspace import StandInWorkspace  # type: ignore[import-not-found]

from enclave import keys
from enclave.edge.passes import issue_code, issue_pass

PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def mine(edge: Any) -> Iterator[Any]:
    with StandInWorkspace(edge, "alice", "study-one") as workspace:
        workspace.pages["/lab"] = ("text/html", b"my lab")
        yield workspace


@pytest.fixture(scope="module")
def other(edge: Any) -> Iterator[Any]:
    with StandInWorkspace(edge, "alice", "study-two") as workspace:
        workspace.pages["/lab"] = ("text/html", b"other lab")
        yield workspace


def get(workspace: Any, url: str, **headers: str) -> httpx.Response:
    with workspace.stand.anonymous() as client:
        answer: httpx.Response = client.get(url, headers={**PAGE, **headers})
        return answer


def code_address(workspace: Any, following: str, **changed: Any) -> str:
    secret = keys.proxy_auth_token(workspace.stand.settings)
    code = issue_code(secret, changed.get("user", workspace.user), workspace.project, time.time())
    return f"{workspace.origin}/enclave-pass?code={code}&next={following}"


def test_a_page_load_at_the_hubs_name_goes_home(mine: Any) -> None:
    answer = get(mine, f"{mine.stand.settings.hub_url}//{mine.prefix[1:]}/lab?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{mine.origin}{mine.prefix}/lab?x=1")


def test_nothing_of_a_workspace_is_served_at_the_hubs_name(mine: Any) -> None:
    before = len(mine.seen)
    hub = f"{mine.stand.settings.hub_url}{mine.prefix}"
    for path in ("/api/contents", "/lab", "/static/x.js"):
        answer = get(mine, hub + path, Cookie=mine.pass_cookie(), Accept="*/*")
        assert answer.status_code == 403
    assert len(mine.seen) == before


def test_a_code_becomes_a_cookie_of_this_origin_only(mine: Any) -> None:
    address = code_address(mine, f"{mine.prefix}/lab")
    answer = get(mine, address)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{mine.prefix}/lab")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("enclave-pass=") and "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert "Path=/" in cookie and "omain" not in cookie
    assert get(mine, f"{mine.origin}{mine.prefix}/lab", Cookie=cookie.split(";")[0]).text == "my lab"
    assert get(mine, address).status_code == 403, "a code works once"


@pytest.mark.parametrize(
    "following", ["https://x.example/", "//x.example", "/user/bob/p/lab", "/user/alice/study-onex"]
)
def test_a_code_leads_nowhere_else(mine: Any, following: str) -> None:
    assert get(mine, code_address(mine, following)).headers["Location"] == f"{mine.prefix}/"


def test_a_code_for_another_workspace_is_refused(mine: Any, other: Any) -> None:
    address = code_address(mine, "/").replace(mine.origin, other.origin)
    answer = get(mine, address)
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers


def test_another_workspaces_origin_does_not_serve_mine(mine: Any, other: Any) -> None:
    before = len(mine.seen)
    answer = get(mine, f"{other.origin}{mine.prefix}/lab", Cookie=mine.pass_cookie())
    assert answer.headers["Location"] == f"{mine.stand.settings.hub_url}{mine.prefix}/lab"
    assert get(mine, f"{other.origin}{mine.prefix}/api/me", Cookie=mine.pass_cookie(), Accept="*/*").status_code == 403
    assert get(mine, f"{other.origin}/hub/home").headers["Location"] == f"{mine.stand.settings.hub_url}/hub/home"
    assert len(mine.seen) == before


def test_my_own_other_workspace_cannot_speak_for_me(mine: Any, other: Any) -> None:
    """Two projects of one person are two origins: a page of the one cannot change anything in the other."""
    before = len(mine.seen)
    for origin in (other.origin, mine.stand.settings.hub_url):
        assert mine.call("POST", "/api/kernels", headers={"Origin": origin}).status_code == 403
    assert len(mine.seen) == before


def test_the_content_policy_names_this_origins_channels(mine: Any) -> None:
    policy = mine.call("GET", "/lab").headers["Content-Security-Policy"]
    assert f"connect-src 'self' {mine.origin.replace('http', 'ws', 1)};" in policy


def test_an_unknown_label_is_no_open_door(mine: Any) -> None:
    settings = mine.stand.settings
    foreign = f"http://nobody--here.{settings.hub_name}:{settings.port}"
    assert get(mine, f"{foreign}/x", Accept="*/*").status_code == 403
    assert get(mine, f"http://a.b.{settings.hub_name}:{settings.port}/x").status_code == 421


def test_a_site_without_wildcard_names_keeps_one_origin() -> None:
    class OneOrigin(Stand):  # type: ignore[misc]
        def environment(self) -> dict[str, str]:
            return {**super().environment(), "ENCLAVE_WORKSPACE_ORIGINS": "false"}

    with OneOrigin(with_hub=False) as stand:
        stand.settings = stand.settings.model_copy(update={"workspace_origins": False})
        with StandInWorkspace(stand) as workspace:
            workspace.pages["/lab"] = ("text/html", b"lab")
            assert workspace.origin == stand.settings.hub_url
            assert workspace.call("GET", "/lab").text == "lab"
            asked = get(workspace, f"{workspace.origin}{workspace.prefix}/lab")
            assert asked.headers["Location"].startswith("/hub/workspace-pass?next=")
            mallory = issue_pass(keys.proxy_auth_token(stand.settings), "mallory", time.time())
            address = f"{workspace.origin}{workspace.prefix}/lab"
            assert get(workspace, address, Cookie=f"enclave-pass={mallory}").status_code == 403

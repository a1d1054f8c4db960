"""Names of workspaces and the codes that open them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.domain.ids import PROJECT_ID, USERNAME
from enclave.domain.origins import workspace_label
from enclave.edge.passes import CODE_SECONDS, CodeDesk, issue_code
from enclave.settings import Settings

NOW = 1_800_000_000.5


@pytest.mark.parametrize(
    ("username", "project", "label"),
    [
        ("amelie", "gibleed-nsaids", "amelie--gibleed-nsaids"),
        ("a" * 30, "b" * 30, "a" * 30 + "--" + "b" * 30),
        ("xn", "abc", None),
        ("a--b", "cde", None),
        ("abc", "b--cde", None),
        ("abc-", "bcd", None),
        ("abc", "bcd-", None),
        ("abc", "", None),
    ],
)
def test_labels(username: str, project: str, label: str | None) -> None:
    found = workspace_label(username, project)
    assert found == label if label else re.fullmatch("w-[0-9a-f]{24}", found)


NAMES = st.from_regex(USERNAME, fullmatch=True), st.from_regex(PROJECT_ID, fullmatch=True)


@given(NAMES[0], NAMES[1], NAMES[0], NAMES[1])
def test_no_two_workspaces_share_a_label(user: str, project: str, other_user: str, other_project: str) -> None:
    label = workspace_label(user, project)
    assert re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label)
    assert not re.match("..--", label)
    if (user, project) != (other_user, other_project):
        assert label != workspace_label(other_user, other_project)


@given(st.text("ab-", min_size=3, max_size=8), st.text("ab-", min_size=3, max_size=8), st.integers(0, 20))
def test_hyphens_do_not_make_two_workspaces_one(user: str, project: str, cut: int) -> None:
    """Another pair with the same letters in a row has another label."""
    row = f"{user}--{project}"
    at = row.find("--", cut)
    other = (row[:at], row[at + 2 :])
    if at > 0 and other != (user, project):
        assert workspace_label(*other) != workspace_label(user, project)


def test_a_code_opens_once_and_for_a_minute() -> None:
    desk = CodeDesk("secret", NOW - 10)
    code = issue_code("secret", "alice", "study-one", NOW)
    assert desk.redeem(code, NOW + 1) == ("alice", "study-one")
    assert desk.redeem(code, NOW + 2) is None
    late = issue_code("secret", "alice", "study-one", NOW)
    assert desk.redeem(late, NOW + CODE_SECONDS) is None


def test_codes_from_before_a_restart_are_refused() -> None:
    code = issue_code("secret", "alice", "study-one", NOW)
    assert CodeDesk("secret", NOW + 1).redeem(code, NOW + 2) is None


@pytest.mark.parametrize(
    "code",
    [
        "",
        "....",
        "alice.study-one.1800000000500.x.y",
        issue_code("another secret", "alice", "study-one", NOW),
        issue_code("secret", "alice", "study-one", NOW).replace("alice", "bobby"),
        issue_code("secret", "alice", "study-one", NOW).replace("study-one", "study-two"),
        issue_code("secret", "alice", "study-one", NOW) + "0",
        issue_code("secret", "alice", "study-one", NOW + 100),
        issue_code("secret", "alice.x", "study-one", NOW),
        "é" * 100,
    ],
)
def test_other_codes_are_refused(code: str) -> None:
    assert CodeDesk("secret", NOW - 10).redeem(code, NOW) is None


def test_addresses_are_written_as_browsers_write_origins() -> None:
    plain = Settings(hub_name="hub.example.org", scheme="https", port=443)
    assert plain.workspace_origin("amelie", "study-one") == "https://amelie--study-one.hub.example.org"
    assert plain.hub_url == "https://hub.example.org"
    shared = Settings(hub_name="hub.example.org", port=8000, workspace_origins=False)
    assert shared.workspace_origin("amelie", "study-one") == "http://hub.example.org:8000"

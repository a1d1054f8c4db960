"""What a scheduler, which is the researcher's code, can make the server believe."""

from __future__ import annotations

from typing import Any

import pytest

from enclave.clusters.heartbeat import HeartbeatError, believed

OURS = "tls://127.0.0.1:40000"
GOOD: dict[str, Any] = {
    "scheduler_address": "tls://127.0.0.1:8786",
    "dashboard_address": "",
    "api_address": "http://127.0.0.1:8787",
    "count": 2,
    "active_workers": ["a"],
    "closing_workers": [],
    "closed_workers": [],
}


def heard(**said: Any) -> dict[str, Any]:
    return believed({**GOOD, **said}, known={"a", "b"}, running={"a"}, most_workers=4, address=OURS)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({}, {"count": 2, "active_workers": ["a"]}),
        ({"scheduler_address": "tls://127.0.0.1:22"}, {"scheduler_address": OURS}),
        ({"dashboard_address": "http://127.0.0.1:22"}, {"dashboard_address": ""}),
        ({"api_address": "http://169.254.169.254"}, {"api_address": ""}),
        ({"count": 10**9}, {"count": 4}),
        ({"active_workers": ["a", "c", "../x"]}, {"active_workers": ["a"]}),
        ({"active_workers": []}, {"active_workers": ["a"]}),
        ({"active_workers": [], "closed_workers": ["a", "c"]}, {"active_workers": [], "closed_workers": ["a"]}),
        ({"closing_workers": ["a"]}, {"active_workers": ["a"], "closing_workers": []}),
        ({"active_workers": [], "closing_workers": ["a"]}, {"active_workers": [], "closing_workers": ["a"]}),
        ({"more": "words"}, {"count": 2}),
    ],
)
def test_only_names_that_are_known_and_no_address(said: dict[str, Any], taken: dict[str, Any]) -> None:
    found = heard(**said)
    assert set(found) == set(GOOD)
    assert {name: found[name] for name in taken} == taken


@pytest.mark.parametrize(
    "said",
    [
        {"count": -1},
        {"count": "2"},
        {"count": True},
        {"count": None},
        {"count": 1.5},
        {"active_workers": "a"},
        {"active_workers": None},
        {"closing_workers": [1]},
        {"closed_workers": [["a"]]},
        {"closed_workers": {"a": 1}},
        {"active_workers": ["a"] * 10_001},
    ],
)
def test_what_is_no_heartbeat_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(HeartbeatError, match="Expected"):
        heard(**said)


@pytest.mark.parametrize("said", [None, [], "heartbeat", 7])
def test_no_object_is_no_heartbeat(said: object) -> None:
    with pytest.raises(HeartbeatError):
        believed(said, known=set(), running=set(), most_workers=1, address=OURS)

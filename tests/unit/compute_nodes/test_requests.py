"""A node checks home's requests word for word."""

from __future__ import annotations

from typing import Any

import pytest

from enclave.compute_nodes.machines import Machine
from enclave.compute_nodes.refusals import Refusal, Refusals, believed
from enclave.compute_nodes.requests import read_kept, read_start
from enclave.workspaces.kernels import RefusedRequest

START = {
    "do": "start",
    "cluster": "c" * 32,
    "member": "worker-1",
    "command": ["work"],
    "env": {},
    "files": {},
    "workspace": "w-0123456789ab",
    "username": "alice",
    "between": {"part": 1, "parts": 2, "slots": 2},
    "machines": {"0": ["home", "10.0.0.5:8443"]},
    "token": "a.b.c",
    "memory_mb": 1024,
    "processes": 64,
    "disk_mb": 64,
}


def test_a_whole_request() -> None:
    start = read_start(START, "home.test")
    assert start.machines == {0: Machine("home.test", "10.0.0.5", 8443)}
    assert set(start.island) == {"do", "cluster", "member", "command", "env", "files", "between"}
    assert "a.b.c" not in repr(start)


@pytest.mark.parametrize(
    "changed",
    [
        {"cluster": "../x"},
        {"member": "Worker"},
        {"workspace": "../../etc"},
        {"username": "a/b"},
        {"between": None},
        {"between": {"part": 0, "parts": 2, "slots": 2}},
        {"between": {"part": 2, "parts": 2, "slots": 2}},
        {"between": {"part": 1, "parts": 2, "slots": 2000}},
        {"between": {"part": True, "parts": 2, "slots": 2}},
        {"between": {"part": 1, "parts": 2}},
        {"machines": {}},
        {"machines": {"0": ["home.test", "no address"]}},
        {"machines": {"0": ["*.test", "10.0.0.5:8443"]}},
        {"machines": {"0": [1, 2]}},
        {"token": "a\nb"},
        {"token": None},
        {"token": "a" * 10_000},
        {"memory_mb": 0},
        {"memory_mb": True},
        {"processes": "64"},
        {"disk_mb": 1 << 40},
    ],
)
def test_a_request_with_one_wrong_word(changed: dict[str, Any]) -> None:
    with pytest.raises(RefusedRequest, match="Expected"):
        read_start({**START, **changed}, "home.test")


def test_what_goes_on() -> None:
    kept = {"c": {"cluster": "c" * 32, "members": ["a", "b"], "token": "t"}}
    assert read_kept({"clusters": kept}) == {"c" * 32: (frozenset("ab"), "t")}
    for wrong in (None, [], {"c": 1}, {"c": {**kept["c"], "members": "ab"}}, {"c": {**kept["c"], "members": [1]}}):
        with pytest.raises(RefusedRequest):
            read_kept({"clusters": wrong})


def test_refusals_are_counted_until_they_are_on_record_whatever_is_lost_on_the_way() -> None:
    refusals = Refusals()
    for _ in range(3):
        refusals.add(Refusal.CERTIFICATE)
    said = refusals.said()
    assert (said["refused"], said["recorded"]) == ({"machine-certificate": 3}, {})
    refusals.add(Refusal.CERTIFICATE)
    for boot, recorded in (
        ("another", {"machine-certificate": 9}),
        (said["boot"], "all"),
        *[(said["boot"], said["refused"])] * 2,
    ):
        refusals.note(boot, recorded)
    said = refusals.said()
    assert (said["refused"], said["recorded"]) == ({"machine-certificate": 4}, {"machine-certificate": 3})
    assert believed({"machine-certificate": True, "x": 1, "malformed-header": 2}) == {"malformed-header": 2}

"""A hostile client, scheduler and worker at the clusters' service: what they are led to, told and believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from enclave_gateway_stack import ALICE, BOB, CAROL, WORKSPACE, wait_for  # type: ignore[import-not-found]
from enclave_hostile_stand import (  # type: ignore[import-not-found]
    MOST,
    OTHER_WORKSPACE,
    HostileStand,
    UnsafeScheduler,
    send,
)

LIST = "/api/v1/clusters/"


@pytest.fixture(scope="module")
def stand() -> Iterator[Any]:
    with HostileStand() as running:
        yield running


@pytest.fixture
def cluster(stand: Any) -> Iterator[dict[str, Any]]:
    """What the host was told of alice's scheduler."""
    started = stand.new_cluster()
    yield started
    stand.end_cluster(started["cluster"])


@pytest.mark.parametrize(
    ("person", "workspace", "at", "rule"),
    [
        (BOB, OTHER_WORKSPACE, WORKSPACE, "token-of-another-workspace"),
        (ALICE, WORKSPACE, OTHER_WORKSPACE, "token-of-another-workspace"),
        (BOB, WORKSPACE, WORKSPACE, "token-of-another-person"),
        (CAROL, WORKSPACE, WORKSPACE, "token-of-another-person"),
        (None, None, WORKSPACE, "token-invalid"),
    ],
)
def test_a_token_counts_at_its_own_door_only(stand: Any, person: Any, workspace: Any, at: Any, rule: str) -> None:
    token = stand.token(workspace, person=person) if person else "nonsense"
    answer = stand.ask("GET", LIST, at=at, token=token)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers

    def is_recorded() -> bool:
        found = [(e["data"].get("rule"), e["workspace"], e["writer"]) for e in stand.stack.events("token:refused")]
        return (rule, at, "clusters") in found

    wait_for(is_recorded, 60, "the record of the refusal")
    assert stand.ask("GET", LIST, at=at).status_code == 200


def test_somebody_without_the_role_is_refused_by_policy(stand: Any) -> None:
    people = dict(stand.stack.people)
    try:
        stand.stack.access.write_people(p if p.id != ALICE else people[CAROL].__class__(
            ALICE, p.username, people[CAROL].roles) for p in people.values())  # fmt: skip
        answer = stand.ask("POST", LIST, {})
        assert answer.status_code == 403 and "run-cluster" in answer.json()["error"]
        assert stand.stack.wait_event("cluster:refused", rule="policy")["actor"] == ALICE
    finally:
        stand.stack.access.write_people(people.values())


def test_a_request_without_a_token_is_asked_for_one(stand: Any) -> None:
    before = len(stand.stack.events("token:refused"))
    answer = send(stand.door(), "GET", LIST, None, {})
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    stand.ask("GET", LIST, token="nonsense")
    wait_for(lambda: len(stand.stack.events("token:refused")) == before + 1, 60, "the record of the second alone")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/routes"),
        ("GET", "/api/health"),
        ("POST", f"{LIST}{'a' * 32}/heartbeat"),
        ("PUT", LIST),
        ("GET", f"{LIST}../routes"),
        ("GET", "/clusters/x/status"),
    ],
)
def test_a_client_reaches_a_positive_list(stand: Any, method: str, path: str) -> None:
    assert stand.ask(method, path, {}).status_code in (403, 404)


def test_what_is_smuggled_behind_a_request_is_a_request_like_any_other(stand: Any) -> None:
    hidden = b"GET /api/v1/routes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    length = str(len(hidden)).encode()
    openings = [
        b"GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/version HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % length,
        b"GET /api/version HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: " + length + b"\r\n\r\n",
        b"GET /api/version HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\nX-Workspace: w-0123456789ac\r\n\r\n",
    ]
    for opening in openings:
        answer = stand.raw(opening + hidden)
        assert b'"routes"' not in answer and answer.startswith(b"HTTP/1."), answer


def test_nothing_a_scheduler_says_leads_anybody_anywhere(stand: Any, cluster: dict[str, Any]) -> None:
    name, folder = cluster["cluster"], stand.island(cluster["cluster"])
    work = UnsafeScheduler(folder, "scheduler.sock", b"a scheduler")
    away = b"HTTP/1.1 307 Away\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:%d/\r\n\r\n" % stand.trap.port
    control = UnsafeScheduler(folder, "control.sock", away)
    try:
        assert stand.beat(cluster).status_code == 200
        wait_for(lambda: stand.status(name) == "RUNNING", 60, "the cluster")
        assert stand.ask("GET", f"{LIST}{name}").json()["dashboard_route"] is None
        wait_for(lambda: stand.says_hello(name) == b"a scheduler", 60, "the proxy's way to the island")
        assert work.heard[-1].startswith(b"\x16\x03")
        assert stand.says_hello(name, OTHER_WORKSPACE) == b""
        answer = stand.ask("POST", f"{LIST}{name}/scale", {"count": 1})
        assert answer.status_code == 409 and b"POST /api/comm" in control.heard[-1]
        assert stand.trap.came == 0
    finally:
        work.close()
        control.close()


def test_a_scheduler_gets_no_more_workers_than_there_may_be(stand: Any, cluster: dict[str, Any]) -> None:
    name, host = cluster["cluster"], stand.hosts[WORKSPACE]

    def workers() -> set[str]:
        return set(host.members(name)) - {"scheduler"}

    for said in ({"count": -1}, {"active_workers": 7}, {"closed_workers": [[]]}):
        assert stand.beat(cluster, **said).status_code == 409
    stand.beat(cluster, count=1_000_000)
    wait_for(lambda: len(workers()) == MOST, 60, "the workers")
    first = workers()
    command = host.members(name)[min(first)]
    assert "tls://127.0.0.1:8786" in command["command"] and "DASK_GATEWAY_API_TOKEN" not in command["env"]
    stand.beat(cluster, count=1_000_000, active_workers=[*first, "w" * 32])
    stand.beat(cluster, count=1_000_000, closed_workers=list(first))
    wait_for(lambda: len(workers()) == MOST and not workers() & first, 60, "new workers for those that ended")


def test_a_scheduler_speaks_for_its_own_cluster_only(stand: Any, cluster: dict[str, Any]) -> None:
    other = stand.new_cluster(OTHER_WORKSPACE)
    try:
        theirs = f"{LIST}{other['cluster']}"
        for method, path in (("POST", f"{theirs}/heartbeat"), ("DELETE", theirs), ("GET", theirs), ("GET", LIST)):
            assert stand.tell(cluster, method, path, {}).status_code == 403
            assert stand.tell({**cluster, "env": other["env"]}, method, path, {}).status_code == 403
        own = f"{LIST}{cluster['cluster']}"
        for path in ("/api/v1/routes", own, f"{own}/scale", LIST):
            assert stand.tell(cluster, "POST" if path in (LIST, f"{own}/scale") else "GET", path, {}).status_code == 403
        assert stand.tell({**cluster, "env": other["env"]}, "DELETE", own).status_code == 401
        bearer = {"Authorization": f"Bearer {stand.token()}"}
        assert send(stand.island(cluster["cluster"]) / "api.sock", "DELETE", own, None, bearer).status_code == 401
        for method, path in (("GET", theirs), ("POST", f"{theirs}/scale"), ("DELETE", theirs)):
            assert stand.ask(method, path, {"count": 1}).status_code == 403
        assert stand.status(other["cluster"], OTHER_WORKSPACE) == "PENDING"
    finally:
        stand.end_cluster(other["cluster"], OTHER_WORKSPACE)


def test_one_cluster_and_no_options(stand: Any, cluster: dict[str, Any]) -> None:
    answer = stand.ask("POST", LIST, {})
    assert answer.status_code == 422 and "has a cluster already" in answer.json()["error"]
    assert stand.stack.wait_event("cluster:refused", rule="one-cluster")["actor"] == ALICE
    answer = stand.ask("POST", LIST, {"cluster_options": {"worker_cmd": "sh"}}, at=OTHER_WORKSPACE)
    assert answer.status_code == 422
    assert stand.stack.wait_event("cluster:refused", rule="cluster-options")["workspace"] == OTHER_WORKSPACE


def test_without_the_log_there_is_no_cluster(stand: Any) -> None:
    host = stand.hosts[OTHER_WORKSPACE]
    before = len(host.started)
    stand.stack.kill_daemon()
    answer = stand.ask("POST", LIST, {}, at=OTHER_WORKSPACE)
    assert answer.status_code == 422 and "audit log" in answer.json()["error"]
    assert len(host.started) == before
    assert stand.ask("GET", LIST, at=OTHER_WORKSPACE).json() == {}
    stand.stack.start_daemon()
    assert stand.stack.wait_event("cluster:stopped", reason="not-recorded")["data"]["late"] is True


def test_a_host_that_refuses_leaves_nothing(stand: Any) -> None:
    host = stand.hosts[OTHER_WORKSPACE]
    host.problem = "Expected room for a cluster, found none."
    try:
        while (answer := stand.ask("POST", LIST, {}, at=OTHER_WORKSPACE)).status_code == 201:
            name = answer.json()["name"]
            wait_for(lambda n=name: stand.status(n, OTHER_WORKSPACE) == "FAILED", 60, "the cluster's failure")
            assert not stand.island(name, OTHER_WORKSPACE).exists()
        assert answer.status_code == 422 and "a minute" in answer.json()["error"]
        stand.stack.wait_event("cluster:refused", rule="too-many-starts")
        stand.stack.wait_event("cluster:stopped", reason="not-started")
    finally:
        host.problem = ""


def test_a_service_that_was_killed_ends_what_it_left(stand: Any) -> None:
    started = stand.new_cluster()
    name, host = started["cluster"], stand.hosts[WORKSPACE]
    stand.stop_service(kill=True)
    stand.start_service()
    assert (name, None) in host.stopped and not stand.island(name).exists()
    assert stand.stack.wait_event("cluster:stopped", reason="service-restarted")["subject"] == name
    assert stand.ask("GET", f"{LIST}{name}").status_code == 404


def test_a_cluster_ends_with_its_workspace(stand: Any) -> None:
    """The last of this file but one: the workspace of bob is gone then."""
    name = stand.new_cluster(OTHER_WORKSPACE)["cluster"]
    door = stand.door(OTHER_WORKSPACE)
    assert stand.stack.control("DELETE", f"/workspaces/{OTHER_WORKSPACE}").status_code == 204
    assert stand.stack.wait_event("cluster:stopped", reason="workspace-stopped")["subject"] == name
    wait_for(lambda: (name, None) in stand.hosts[OTHER_WORKSPACE].stopped, 60, "the end of its island")
    assert not door.exists()


def test_a_service_that_stops_ends_its_clusters(stand: Any) -> None:
    """The last of this file."""
    name = stand.new_cluster()["cluster"]
    stand.stop_service()
    assert (name, None) in stand.hosts[WORKSPACE].stopped
    assert not stand.door().exists() and not stand.settings.clusters_socket.exists()
    assert [e["subject"] for e in stand.stack.events("cluster:stopped")].count(name) == 1
    starts, ends = ({e["subject"] for e in stand.stack.events(f"cluster:{what}")} for what in ("started", "stopped"))
    assert starts <= ends

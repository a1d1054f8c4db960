"""The edge as a process: host names, streaming, WebSockets, the route API, and what survives its death."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from enclave_test_stand import wait_for  # type: ignore[import-not-found]

from enclave import keys


def api(edge: Any, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
    """A call of the route API, as JupyterHub makes it."""
    value = keys.proxy_auth_token(edge.settings) if token is None else token
    transport = httpx.HTTPTransport(uds=str(edge.settings.edge_api_socket))
    with httpx.Client(transport=transport, timeout=60) as client:
        return client.request(
            method, f"http://edge/api/routes{path}", headers={"Authorization": f"token {value}"}, **options
        )


def raw_request(edge: Any, text: str) -> str:
    """Bytes as an attacker writes them; the answer's text."""
    with socket.create_connection(("127.0.0.1", edge.settings.port), timeout=60) as connection:
        connection.sendall(text.encode("latin-1"))
        connection.settimeout(10)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received.decode("latin-1")


def host_of(edge: Any) -> str:
    return f"{edge.settings.portal_name}:{edge.settings.port}"


def test_the_portal_is_reached_by_its_name_with_forwarding_headers(edge: Any) -> None:
    url = f"{edge.settings.portal_url}/projects/?a=1%2F2"
    with edge.anonymous() as client:
        answer = client.get(url, headers={"X-Forwarded-For": "6.6.6.6", "X-Enclave-Service": "x"})
    seen = answer.json()
    assert seen["path"] == "/projects/?a=1%2F2"
    assert seen["h"]["X-Forwarded-For"] == "127.0.0.1"
    assert seen["h"]["X-Forwarded-Host"] == seen["h"]["Host"] == host_of(edge)
    assert "X-Enclave-Service" not in seen["h"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_long_body_streams_through(edge: Any) -> None:
    def parts() -> Any:
        for _ in range(64):
            yield b"x" * 65536

    with edge.anonymous() as client:
        answer = client.post(f"{edge.settings.portal_url}/upload", content=parts())
    assert answer.json()["length"] == 64 * 65536


def test_an_unknown_name_gets_a_sentence_in_the_browsers_language(edge: Any) -> None:
    with edge.anonymous() as client:
        for language, word in (("fr,en", "Adresse inconnue"), ("en", "Unknown address")):
            headers = {"Host": "elsewhere.example", "Accept": "text/html", "Accept-Language": language}
            answer = client.get(f"http://127.0.0.1:{edge.settings.port}/", headers=headers)
            assert answer.status_code == 421
            assert word in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/internal/workspaces/start",
        "//internal/workspaces/start",
        "/%69nternal/workspaces/start",
        "/INTERNAL/workspaces/start",
        "/hub/../internal/workspaces/start",
        "/hub/%2e%2e/internal/workspaces/start",
        "/.%2finternal/x",
    ],
)
def test_the_internal_api_is_never_reached(edge: Any, path: str) -> None:
    secret = keys.service_secret(edge.settings)
    request = f"POST {path} HTTP/1.1\r\nHost: {host_of(edge)}\r\nX-Enclave-Service: {secret}\r\n"
    answer = raw_request(edge, f"{request}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}")
    assert answer.split(" ", 2)[1] in ("400", "404"), answer[:200]
    assert not any("workspaces/start" in seen[1] for seen in edge.portal.seen)


def test_an_absolute_address_does_not_slip_past(edge: Any) -> None:
    request = f"GET http://{host_of(edge)}/internal/x HTTP/1.1\r\nHost: {host_of(edge)}\r\nConnection: close\r\n\r\n"
    assert raw_request(edge, request).split(" ", 2)[1] in ("400", "404")


def test_smuggled_requests_are_refused(edge: Any) -> None:
    both = (
        f"POST /a HTTP/1.1\r\nHost: {host_of(edge)}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n"
        "Connection: close\r\n\r\n0\r\n\r\nGET /internal/x HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert raw_request(edge, both).split(" ", 2)[1] == "400"
    assert not any("/internal" in seen[1] for seen in edge.portal.seen)


def test_a_header_with_an_underscore_does_not_become_ours(edge: Any) -> None:
    request = f"GET /plain HTTP/1.1\r\nHost: {host_of(edge)}\r\nX_Enclave_Service: a\r\nConnection: close\r\n\r\n"
    raw_request(edge, request)
    headers = next(seen[2] for seen in reversed(edge.portal.seen) if seen[1] == "/plain")
    assert not any(name.lower().replace("_", "-") == "x-enclave-service" for name in headers)


def test_websockets_pass_through(edge: Any) -> None:
    async def talk() -> str:
        url = f"http://127.0.0.1:{edge.settings.port}/socket"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers={"Host": host_of(edge)}) as ws:
            await ws.send_str("hello")
            return str((await ws.receive(10)).data)

    assert asyncio.run(talk()) == "echo:hello"


def test_the_route_api_needs_the_hubs_token(edge: Any) -> None:
    assert api(edge, "GET", "", token="wrong").status_code == 403
    assert api(edge, "POST", "/x", token="x", json={"target": "http+unix://run%2Fhub.sock"}).status_code == 403


def test_routes_come_and_go_and_say_when_they_were_used(edge: Any) -> None:
    body = {"target": "http+unix://run%2Fportal.sock:80", "extra": True, "jupyterhub": True}
    assert api(edge, "POST", "/extra", json=body).status_code == 201
    listed = api(edge, "GET", "").json()
    assert listed["/extra"]["target"] == body["target"]
    assert listed["/extra"]["extra"] is True
    assert "last_activity" in listed["/extra"]
    assert api(edge, "GET", "/extra").json() == listed["/extra"]
    assert api(edge, "GET", "/extr").status_code == 404
    with edge.anonymous() as client:
        assert client.get(f"{edge.settings.hub_url}/extra/page").json()["path"] == "/extra/page"
    assert api(edge, "DELETE", "/extra").status_code == 204
    assert api(edge, "DELETE", "/extra").status_code == 404


def test_a_route_out_of_run_is_refused(edge: Any) -> None:
    assert api(edge, "POST", "/x", json={"target": "http+unix://%2Fvar%2Frun%2Fdocker.sock"}).status_code == 400
    assert api(edge, "POST", "/x", json={"target": "http://127.0.0.1:1"}).status_code == 400


def test_a_link_in_the_place_of_a_socket_leads_nowhere(edge: Any) -> None:
    """The confused deputy: with a proxy that follows links this request would be answered by the linked socket."""
    folder: Path = edge.settings.run_dir / "trap"
    folder.mkdir()
    (folder / "j.sock").symlink_to(edge.settings.portal_socket)
    (edge.settings.run_dir / "trap2").symlink_to(edge.settings.run_dir)
    (folder / "plain").write_text("no socket")
    targets = {"/link": "run%2Ftrap%2Fj.sock", "/way": "run%2Ftrap2%2Fportal.sock", "/file": "run%2Ftrap%2Fplain"}
    with edge.anonymous() as client:
        assert api(edge, "POST", "/good", json={"target": "http+unix://run%2Fportal.sock"}).status_code == 201
        assert (
            client.get(f"{edge.settings.hub_url}/good").status_code == 200
        )  # the same socket answers when named itself
        for prefix, target in targets.items():
            assert api(edge, "POST", prefix, json={"target": f"http+unix://{target}"}).status_code == 201
            assert client.get(f"{edge.settings.hub_url}{prefix}").status_code == 503, prefix
    for prefix in (*targets, "/good"):
        api(edge, "DELETE", prefix)


def test_a_service_that_is_away_gets_a_page(edge: Any) -> None:
    api(edge, "POST", "/gone", json={"target": "http+unix://run%2Fnothing.sock"})
    with edge.anonymous() as client:
        answer = client.get(f"{edge.settings.hub_url}/gone", headers={"Accept": "text/html"})
    assert answer.status_code == 503
    assert "Reload the page" in answer.text
    api(edge, "DELETE", "/gone")


def test_a_workspace_route_is_closed_without_a_pass(edge: Any) -> None:
    target = {"target": "http+unix://run%2Fportal.sock", "user": "alice", "server_name": "one"}
    api(edge, "POST", "/user/alice/one", json=target)
    base = f"{edge.settings.workspace_origin('alice', 'one')}/user/alice/one"
    ask = f"{edge.settings.hub_url}/hub/workspace-pass?next=%2Fuser%2F"
    with edge.anonymous() as client:
        page = client.get(f"{base}/lab", headers={"Accept": "text/html"})
        assert page.status_code == 302
        assert page.headers["Location"] == f"{ask}alice%2Fone%2Flab"
        twisted = client.get(base.replace("/user/", "//user/") + "/lab", headers={"Accept": "text/html"})
        assert twisted.status_code == 302
        assert twisted.headers["Location"].startswith(ask)
        assert client.get(f"{base}/api/contents").status_code == 403
        assert client.post(f"{base}/api/kernels", json={}).status_code == 403
    assert not any("/user/alice" in seen[1] for seen in edge.portal.seen)
    api(edge, "DELETE", "/user/alice/one")


def test_routes_survive_kill_9(edge: Any) -> None:
    api(edge, "POST", "/kept", json={"target": "http+unix://run%2Fportal.sock", "extra": True})
    edge.edge.kill()
    edge.edge.wait(60)
    stored = json.loads((edge.settings.run_dir / "routes.json").read_text())
    assert "/kept" in stored
    edge.edge = edge.start("enclave.edge.serve")

    wait_for(lambda: edge.answers(f"{edge.settings.hub_url}/kept/x"), "the restarted edge")
    api(edge, "DELETE", "/kept")

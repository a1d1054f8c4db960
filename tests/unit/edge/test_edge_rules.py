"""The edge's pure rules as tables: paths, headers, passes, the positive list of a workspace, the route table."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.domain.decisions import Allow, Deny
from enclave.edge import headers, passes
from enclave.edge.routes import RouteError, RouteTable, find_socket
from enclave.edge.workspace_rules import NO_TERMINALS, decide_request, is_persons_doing

ALLOWED = [
    ("GET", "/enclave/tables", {}),
    ("GET", "/enclave/limits", {}),
    ("POST", "/enclave/release", {}),
    ("GET", "/lab/extensions/enclave-lab/static/remoteEntry.js", {}),
    ("GET", "/lab", {}),
    ("GET", "/", {}),
    ("GET", "/lab/tree/analysis/one.ipynb", {}),
    ("GET", "/static/lab/main.abc.js", {}),
    ("GET", "/lab/extensions/@jupyterlab/x/static/remoteEntry.js", {}),
    ("PUT", "/lab/api/settings/@jupyterlab/apputils-extension:themes", {}),
    ("PUT", "/lab/api/workspaces/default", {}),
    ("GET", "/api/contents", {}),
    ("GET", "/api/contents/outbox", {"type": "directory"}),
    ("GET", "/api/contents/start-here.ipynb", {"content": "1"}),
    ("GET", "/api/contents/code.py", {"format": "text"}),
    ("GET", "/api/contents/data.csv", {"content": "0"}),
    ("GET", "/api/contents/start-here.ipynb/checkpoints", {}),
    ("PUT", "/api/contents/start-here.ipynb", {}),
    ("POST", "/api/contents/", {}),
    ("DELETE", "/api/contents/data.csv", {}),
    ("POST", "/api/kernels", {}),
    ("POST", "/api/kernels/0a-1b/interrupt", {}),
    ("GET", "/api/kernels/0a-1b/channels", {}),
    ("PATCH", "/api/sessions/0a-1b", {}),
    ("GET", "/kernelspecs/python3/logo-svg.svg", {}),
    ("GET", "/lab/extensions/enclave-lab/static/container.js", {}),
    ("GET", "/enclave/outbox", {"language": "fr"}),
    ("POST", "/enclave/release", {}),
]
REFUSED = [
    ("POST", "/enclave/tables", {}),
    ("GET", "/enclave/files", {}),
    ("GET", "/enclave/release/x", {}),
    ("GET", "/files/data.csv", {}),
    ("GET", "/files", {}),
    ("GET", "/view/data.csv", {}),
    ("GET", "/nbconvert/html/start-here.ipynb", {}),
    ("POST", "/nbconvert/html", {}),
    ("POST", "/api/terminals", {}),
    ("GET", "/terminals/websocket/1", {}),
    ("GET", "/lsp/ws/pylsp", {}),
    ("GET", "/metrics", {}),
    ("GET", "/lab/api/extensions", {}),
    ("POST", "/lab/api/build", {}),
    ("GET", "/api/contents/data.csv", {}),
    ("GET", "/api/contents/data.csv", {"content": "1", "format": "text"}),
    ("GET", "/api/contents/plot.png", {"format": "base64"}),
    ("GET", "/api/contents/report.pdf", {}),
    ("GET", "/api/contents/start-here.ipynb", {"format": "base64"}),
    ("GET", "/api/contents/archive.tar.gz", {}),
    ("GET", "/kernelspecs/mine/data.bin", {}),
    ("GET", "/lab/extensions/mine/static/data.bin", {}),
    ("POST", "/api/shutdown", {}),
    ("TRACE", "/lab", {}),
    ("GET", "/proxy/8000/", {}),
    ("GET", "/hub/api", {}),
    ("GET", "/enclave/release", {}),
    ("GET", "/enclave/outbox/table.csv", {}),
    ("POST", "/enclave/tables", {}),
]


TERMINALS = [
    ("GET", "/api/terminals", True),
    ("POST", "/api/terminals", True),
    ("GET", "/api/terminals/1", True),
    ("DELETE", "/api/terminals/12", True),
    ("GET", "/terminals/websocket/999", True),
    ("PATCH", "/api/terminals/1", False),
    ("GET", "/api/terminals/1/x", False),
    ("GET", "/api/terminals/", False),
    ("POST", "/terminals/websocket/1", False),
    ("GET", "/terminals/websocket/0", False),
    ("GET", "/terminals/websocket/1000", False),
    ("GET", "/terminals/websocket/a", False),
    ("GET", "/terminals/1", False),
    ("GET", "/terminals", False),
]


@pytest.mark.parametrize(("method", "path", "is_allowed"), TERMINALS)
def test_terminals_are_reached_where_the_permit_allows_them_and_nowhere_else(
    method: str, path: str, is_allowed: bool
) -> None:
    assert decide_request(method, path, {}).decision == Deny((NO_TERMINALS,))
    assert isinstance(decide_request(method, path, {}, terminals=True).decision, Allow) == is_allowed


@pytest.mark.parametrize(("method", "path", "query"), ALLOWED)
def test_jupyterlab_stays_usable(method: str, path: str, query: dict[str, str]) -> None:
    assert isinstance(decide_request(method, path, query).decision, Allow)


@pytest.mark.parametrize(("method", "path", "query"), REFUSED)
def test_nothing_hands_a_file_to_the_browser(method: str, path: str, query: dict[str, str]) -> None:
    decision = decide_request(method, path, query).decision
    assert not isinstance(decision, Allow)
    assert len(decision.reasons[0]) > 20


def test_answers_that_hold_files_are_capped() -> None:
    assert decide_request("GET", "/api/contents/a.ipynb", {}).maximum_bytes == 16_000_000
    assert decide_request("GET", "/api/contents/a.py", {}).maximum_bytes == 1_000_000
    assert decide_request("GET", "/api/contents/folder", {}).maximum_bytes == 1_000_000


def test_polling_does_not_keep_a_workspace_from_being_idle() -> None:
    assert not is_persons_doing("GET", "/api/kernels")
    assert not is_persons_doing("PUT", "/lab/api/workspaces/default")
    assert is_persons_doing("PUT", "/api/contents/a.ipynb")


@pytest.mark.parametrize(
    "raw",
    ["/hub/../internal/x", "/hub/%2e%2e/internal/x", "/./x", "/a\\b", "/a%5cb", "/a%00b", "/a%0d%0ab", "x", "", "/%ff"],
)
def test_paths_no_honest_browser_writes_are_refused(raw: str) -> None:
    with pytest.raises((headers.PathRefusedError, UnicodeDecodeError)):
        headers.decode_path(raw)


@pytest.mark.parametrize(
    "path",
    [
        "/internal",
        "/internal/",
        "/internal/workspaces/start",
        "//internal/x",
        "/INTERNAL/x",
        "/internal;a/x",
        "/ internal/x",
    ],
)
def test_the_internal_api_is_recognised_however_it_is_written(path: str) -> None:
    assert headers.is_internal(path)


@pytest.mark.parametrize("raw", ["/%69nternal/x", "/%49NTERNAL/x", "/inter%6eal"])
def test_encoding_does_not_hide_the_internal_api(raw: str) -> None:
    assert headers.is_internal(headers.decode_path(raw))


def test_a_project_named_like_it_is_not_internal() -> None:
    assert not headers.is_internal("/projects/internal/")
    assert not headers.is_internal("/internals/")


def test_untrusted_headers_do_not_come_in() -> None:
    given_headers = [
        ("Host", "elsewhere"),
        ("X-Enclave-Service", "stolen"),
        ("x_enclave_service", "stolen"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=1.2.3.4"),
        ("X-Real-Ip", "1.2.3.4"),
        ("X-Scheme", "https"),
        ("Connection", "keep-alive, X-Secret-Hop"),
        ("X-Secret-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Accept", "text/html"),
    ]
    cleaned = headers.clean_request(given_headers, host="portal.localhost", scheme="http", remote="127.0.0.1")
    assert cleaned == [
        ("Accept", "text/html"),
        ("Host", "portal.localhost"),
        ("X-Forwarded-Host", "portal.localhost"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-For", "127.0.0.1"),
    ]


def test_a_workspace_gets_no_token_and_no_cookie_of_the_hub() -> None:
    cookie = "jupyterhub-hub-login=secret; _xsrf=a; enclave-pass=secret; jupyterhub-session-id=secret"
    cleaned = headers.for_workspace([("Authorization", "token x"), ("Cookie", cookie), ("Accept", "*/*")])
    assert cleaned == [("Accept", "*/*"), ("Cookie", "_xsrf=a")]


def test_a_workspace_can_set_only_its_own_cookie_and_send_nobody_elsewhere() -> None:
    answer = [
        ("Content-Type", "text/html"),
        ("Content-Security-Policy", "default-src *"),
        ("Set-Cookie", "_xsrf=a; Path=/user/a/p/"),
        ("Set-Cookie", "_xsrf=a; Path=/hub/"),
        ("Set-Cookie", "_xsrf=a; Path=/user/a/p/; Domain=localhost"),
        ("Set-Cookie", "jupyterhub-hub-login=x; Path=/user/a/p/"),
        ("Set-Cookie", "enclave-pass=x; Path=/"),
        ("Location", "https://elsewhere.example/?data"),
        ("Location", "//elsewhere.example/"),
        ("Location", "/user/a/p/lab"),
        ("Refresh", "0; url=https://elsewhere.example"),
        ("Link", "<https://elsewhere.example>; rel=preconnect"),
        ("Reporting-Endpoints", "x='https://elsewhere.example'"),
        ("Content-Disposition", "attachment"),
        ("Clear-Site-Data", "*"),
        ("Service-Worker-Allowed", "/"),
    ]
    kept = headers.from_workspace(answer, prefix="/user/a/p", websocket_origin="ws://hub.localhost:1")
    assert kept[:-1] == [
        ("Content-Type", "text/html"),
        ("Set-Cookie", "_xsrf=a; Path=/user/a/p/"),
        ("Location", "/user/a/p/lab"),
    ]
    assert kept[-1][0] == "Content-Security-Policy"
    assert "sandbox allow-scripts allow-same-origin allow-forms allow-modals" in kept[-1][1]
    assert "frame-src 'none'" in kept[-1][1]


def test_a_token_in_the_address_is_dropped() -> None:
    assert headers.without_token("a=1&token=x&b=2") == "a=1&b=2"
    assert headers.without_token("%74oken=x") == ""
    assert headers.without_token("a=1&b=%2F") == "a=1&b=%2F"


def test_a_pass_holds_for_its_holder_and_its_time() -> None:
    value = passes.issue_pass("secret", "alice", 1000.0)
    assert passes.find_holder("secret", value, 1001.0) == "alice"
    assert passes.find_holder("secret", value, 1000.0 + passes.LIFETIME_SECONDS) is None
    assert passes.find_holder("other", value, 1001.0) is None
    assert passes.find_holder("secret", value.replace("alice", "bob"), 1001.0) is None


@given(st.text(max_size=80))
def test_no_text_is_a_pass_by_chance(value: str) -> None:
    assert passes.find_holder("secret", value, 0.0) is None


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:80",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock",
        "http+unix://run%2F..%2F..%2Fvar%2Frun%2Fdocker.sock",
        "http+unix://keys%2Fx.sock",
        "",
    ],
)
def test_a_route_leads_only_to_our_own_sockets(target: str, tmp_path: Path) -> None:
    with pytest.raises(RouteError):
        find_socket(target, tmp_path)


def test_the_port_that_jupyterhub_adds_is_ignored(tmp_path: Path) -> None:
    assert find_socket("http+unix://run%2fws%2fw-1%2fhost%2fj.sock:80", tmp_path) == tmp_path / "run/ws/w-1/host/j.sock"
    assert (
        find_socket(f"http+unix://{str(tmp_path).replace('/', '%2F')}%2Frun%2Fa.sock", tmp_path)
        == tmp_path / "run/a.sock"
    )


def test_the_longest_prefix_wins_and_the_table_survives(tmp_path: Path) -> None:
    table = RouteTable(tmp_path, tmp_path / "routes.json")
    table.set("/", "http+unix://run%2Fhub.sock", {})
    table.set("/user/alice/one/", "http+unix://run%2Fws%2Fa.sock", {"user": "alice"})
    again = RouteTable(tmp_path, tmp_path / "routes.json")
    for which in (table, again):
        assert which.find("/user/alice/one/lab") is not None
        assert which.find("/user/alice/one/lab")[0] == "/user/alice/one"  # type: ignore[index]
        assert which.find("/user/alice/one-more")[0] == "/"  # type: ignore[index]
        assert which.find("/user/alice")[0] == "/"  # type: ignore[index]
    assert again.remove("/user/alice/one") is not None
    assert RouteTable(tmp_path, tmp_path / "routes.json").find("/user/alice/one/lab")[0] == "/"  # type: ignore[index]

"""Smuggling, path tricks and host confusion against the real edge, before an upstream that records what reaches it."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest
from odd_requests import ALL, CLEANED, ONCE, REFUSED, OddRequest

_UNTRUSTED = re.compile(
    r"x[-_]enclave|forwarded$|x-original-url|x-rewrite-url|x-http-method|expect|x-odd|upgrade|http2", re.IGNORECASE
)
_OURS = {"x-forwarded-host", "x-forwarded-proto", "x-forwarded-for"}


SENTINEL = "GET /sentinel HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
"""An honest request on the same connection: answered only if the edge still knows where a request begins."""


def send(edge: Any, request: OddRequest) -> bytes:
    """All bytes that come back: the odd request first; once it is answered, the sentinel."""
    port = edge.settings.port

    def encoded(text: str) -> bytes:
        names = {"HOST": edge.settings.portal_name, "OTHER": edge.settings.hub_name}
        for word, name in names.items():
            text = text.replace(word, f"{name}:{port}")
        return text.encode("latin-1")

    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(encoded(request.text))
        try:
            while b"\r\n\r\n" not in received.replace(CONTINUE, b""):
                if not (chunk := connection.recv(65536)):
                    return received
                received += chunk
            connection.sendall(encoded(SENTINEL))
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def answers(received: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


@pytest.mark.parametrize("request_row", ALL, ids=lambda row: row.name)
def test_odd_requests(edge: Any, request_row: OddRequest) -> None:
    edge.portal.seen.clear()
    codes = [code for code in answers(send(edge, request_row)) if code != 100]
    reached = [(path, headers) for _, path, headers in edge.portal.seen if path != "/sentinel"]
    after = [path for _, path, _ in edge.portal.seen if path == "/sentinel"]
    assert not [path for path, _ in reached if re.match(r"/*[^?]*internal/[xy]", path)], reached
    assert not [path for path, _ in reached if "smuggled" in path]
    assert len(codes) - len(after) <= 1, codes
    if request_row.outcome == REFUSED:
        assert reached == []
        assert all(code >= 400 for code in codes[: len(codes) - len(after)]), codes
        return
    assert request_row.outcome in (ONCE, CLEANED)
    assert (len(reached), codes[0]) == (1, 200), (codes, reached)
    if request_row.outcome == CLEANED:
        names = {name.lower() for name in reached[0][1]} - _OURS
        assert not [name for name in names if _UNTRUSTED.search(name)], names
        assert "elsewhere" not in str(reached[0][1])

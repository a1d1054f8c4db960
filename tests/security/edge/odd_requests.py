"""Requests that no honest browser sends, each with what has to come of it. Bytes, because that is what travels.

``HOST`` and ``OTHER`` are filled in. Outcomes: ``refused`` (an error answer or a closed connection, and nothing reaches
the upstream), ``once`` (exactly one request reaches it, the one that was judged) and ``cleaned`` (once, without the
header that was to be smuggled). What never may happen, whatever the outcome: a request for ``/internal`` or
``/smuggled`` upstream, or two answers where one request was sent.
"""

from __future__ import annotations

from dataclasses import dataclass

REFUSED, ONCE, CLEANED = "refused", "once", "cleaned"
_SECOND = "GET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n"
_CHUNKED = "Transfer-Encoding: chunked\r\n"
_EMPTY = "0\r\n\r\n"
_UPGRADE = "Host: HOST\r\nConnection: Upgrade, HTTP2-Settings\r\n"


@dataclass(frozen=True)
class OddRequest:
    """One row. ``text`` is Latin-1."""

    name: str
    outcome: str
    text: str


def _post(name: str, outcome: str, fields: str, body: str, path: str = "/odd", line_end: str = "\r\n") -> OddRequest:
    head = f"POST {path} HTTP/1.1\r\nHost: HOST\r\n{fields}\r\n".replace("\r\n", line_end)
    return OddRequest(name, outcome, head + body)


def _get(name: str, outcome: str, path: str, fields: str = "Host: HOST\r\n", version: str = "HTTP/1.1") -> OddRequest:
    return OddRequest(name, outcome, f"GET {path} {version}\r\n{fields}\r\n")


SMUGGLING: tuple[OddRequest, ...] = (
    _post("CL.TE", REFUSED, f"Content-Length: 6\r\n{_CHUNKED}", _EMPTY + _SECOND),
    _post("TE.CL", REFUSED, f"{_CHUNKED}Content-Length: 4\r\n", "5c\r\n" + _SECOND + _EMPTY),
    _post("TE.TE: two codings", REFUSED, f"{_CHUNKED}Transfer-Encoding: identity\r\n", _EMPTY + _SECOND),
    _post("TE.TE: unknown coding last", REFUSED, "Transfer-Encoding: chunked, cow\r\n", _EMPTY + _SECOND),
    _post("TE.TE: space before the colon", REFUSED, "Transfer-Encoding : chunked\r\n", _EMPTY + _SECOND),
    _post("TE.TE: tab in the value", REFUSED, "Transfer-Encoding:\tchunked\r\nContent-Length: 0\r\n", _EMPTY + _SECOND),
    _post("TE.TE: control sign in the value", REFUSED, "Transfer-Encoding: \x0bchunked\r\n", _EMPTY + _SECOND),
    _post("TE.TE: quoted", REFUSED, 'Transfer-Encoding: "chunked"\r\n', _EMPTY + _SECOND),
    _post(
        "chunked in HTTP/1.0 with a length",
        REFUSED,
        f"Content-Length: 5\r\n{_CHUNKED}Connection: keep-alive\r\n",
        _EMPTY,
    ),
    _post("two lengths that differ", REFUSED, "Content-Length: 2\r\nContent-Length: 3\r\n", "abc"),
    _post("two lengths that agree", REFUSED, "Content-Length: 2\r\nContent-Length: 2\r\n", "ab"),
    _post("a list of lengths", REFUSED, "Content-Length: 2, 2\r\n", "ab"),
    _post("a length with a sign", REFUSED, "Content-Length: +2\r\n", "ab"),
    _post("a negative length", REFUSED, "Content-Length: -1\r\n", "ab"),
    _post("a length in hexadecimal", REFUSED, "Content-Length: 0x2\r\n", "ab"),
    _post("a length with an underscore", REFUSED, "Content-Length: 1_0\r\n", "0123456789"),
    _post("a length larger than any", REFUSED, "Content-Length: 99999999999999999999999999\r\n", "ab"),
    _post("a folded field", REFUSED, "X-Odd: a\r\n b\r\nContent-Length: 0\r\n", ""),
    _post("a folded coding", REFUSED, "Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n", _EMPTY + _SECOND),
    _post("a field without a name", REFUSED, ": x\r\nContent-Length: 0\r\n", ""),
    _post("a field without a colon", REFUSED, "Odd\r\nContent-Length: 0\r\n", ""),
    _post("a NUL in a field", REFUSED, "X-Odd: a\x00b\r\nContent-Length: 0\r\n", ""),
    _post("a bare CR in a field", REFUSED, "X-Odd: a\rX-Enclave-Service: b\r\nContent-Length: 0\r\n", ""),
    _post("bare LF as line ends", REFUSED, "Content-Length: 0\r\n", "", line_end="\n"),
    _post("a bare LF within a field", REFUSED, "X-Odd: a\nX-Enclave-Service: b\r\nContent-Length: 0\r\n", ""),
    _post("a chunk that says less than it holds", REFUSED, _CHUNKED, "1\r\nabc\r\n" + _EMPTY),
    _post("a chunk larger than any", REFUSED, _CHUNKED, "fffffffffffffffff\r\nabc\r\n" + _EMPTY),
    _post("a chunk with a sign", REFUSED, _CHUNKED, "+3\r\nabc\r\n" + _EMPTY),
    _post("a chunk with a prefix", REFUSED, _CHUNKED, "0x3\r\nabc\r\n" + _EMPTY),
    _post("a chunk with bare LF", REFUSED, _CHUNKED, "3\nabc\n0\n\n" + _SECOND),
    _post("a chunk extension with bare LF", REFUSED, _CHUNKED, "3;a\nb\r\nabc\r\n" + _EMPTY + _SECOND),
    _post(
        "trailers that speak for us",
        CLEANED,
        f"{_CHUNKED}Trailer: X-Enclave-Service\r\n",
        "0\r\nX-Enclave-Service: b\r\n\r\n",
    ),
    _post(
        "a hop-by-hop field named in Connection",
        CLEANED,
        "Connection: X-Odd, close\r\nX-Odd: a\r\nContent-Length: 0\r\n",
        "",
    ),
    _post("underscores for hyphens", CLEANED, "X_Enclave_Service: a\r\nContent-Length: 0\r\n", ""),
    _post("an Expect that never ends", CLEANED, "Expect: 100-continue\r\nContent-Length: 0\r\n", ""),
    _get(
        "upgrade to h2c",
        ONCE,
        "/odd",
        _UPGRADE + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    ),
    OddRequest("HTTP/2 by prior knowledge", REFUSED, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    _get(
        "upgrade to a WebSocket that is none",
        REFUSED,
        "/odd",
        _UPGRADE + "Upgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: x\r\n",
    ),
    OddRequest("HTTP/0.9", REFUSED, "GET /odd\r\n\r\n"),
    _get("an unknown version", REFUSED, "/odd", version="HTTP/9.9"),
    OddRequest("CONNECT", REFUSED, "CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    OddRequest("a method with a line end", REFUSED, "GET\n /odd HTTP/1.1\r\nHost: HOST\r\n\r\n"),
)

PATHS: tuple[OddRequest, ...] = tuple(
    _get(f"path {path.encode('latin-1').decode('ascii', 'backslashreplace')}", outcome, path)
    for path, outcome in (
        ("/..%2finternal/x", REFUSED),
        ("/a/..%2f..%2finternal/x", REFUSED),
        ("/%2e%2e/internal/x", REFUSED),
        ("/a/%2E%2e/internal/x", REFUSED),
        ("/./internal/x", REFUSED),
        ("/internal;x=1/y", REFUSED),
        ("/%69nternal/x", REFUSED),
        ("/INTERNAL/x", REFUSED),
        ("//internal/x", REFUSED),
        ("///internal/x", REFUSED),
        ("/%2finternal/x", REFUSED),
        ("/%20internal/x", REFUSED),
        ("/internal%20/x", REFUSED),
        ("/internal%00/x", REFUSED),
        ("/a%00b", REFUSED),
        ("/a%0d%0ab", REFUSED),
        ("/a%7fb", REFUSED),
        ("/a\\..\\internal\\x", REFUSED),
        ("/a%5c..%5cinternal", REFUSED),
        ("/%c0%ae%c0%ae/internal/x", REFUSED),
        ("/%c0%afinternal/x", REFUSED),
        ("/%e0%80%ae%e0%80%ae/internal", REFUSED),
        ("/%ff", REFUSED),
        ("/%u002e%u002e/x", ONCE),
        ("/%252e%252e/odd", ONCE),
        ("/%252finternal/odd", ONCE),
        ("/odd;/..;/odd", ONCE),
        ("/%ef%bc%8e%ef%bc%8e/odd", ONCE),
        ("/%e2%80%a4%e2%80%a4/odd", ONCE),
        ("/odd%", ONCE),
        ("/odd?x=/../internal/y", ONCE),
        ("/odd#/internal/x", ONCE),
        ("*", REFUSED),
        ("odd", REFUSED),
        ("http://HOST/internal/x", REFUSED),
        ("http://OTHER/odd", REFUSED),
        ("http://user@HOST/internal/x", REFUSED),
        ("https://HOST/internal/x", REFUSED),
        ("file:///etc/passwd", REFUSED),
    )
)

HOSTS: tuple[OddRequest, ...] = (
    _get("no Host", REFUSED, "/odd", ""),
    _get("an unknown Host", REFUSED, "/odd", "Host: elsewhere.example\r\n"),
    _get("two Hosts", REFUSED, "/odd", "Host: HOST\r\nHost: OTHER\r\n"),
    _get("two Hosts, the other first", REFUSED, "/odd", "Host: elsewhere.example\r\nHost: HOST\r\n"),
    _get("Host with a path", REFUSED, "/odd", "Host: HOST/x\r\n"),
    _get("Host with a user", REFUSED, "/odd", "Host: x@HOST\r\n"),
    _get("Host with an odd port", REFUSED, "/odd", "Host: HOST:x@elsewhere.example\r\n"),
    _get("Host with spaces", REFUSED, "/odd", "Host: HOST elsewhere.example\r\n"),
    _get("Host of an internal name", REFUSED, "/odd", "Host: localhost\r\n"),
    _get("an address as Host", REFUSED, "/odd", "Host: 127.0.0.1\r\n"),
    _get("X-Forwarded-Host", CLEANED, "/odd", "Host: HOST\r\nX-Forwarded-Host: elsewhere.example\r\n"),
    _get("Forwarded", CLEANED, "/odd", "Host: HOST\r\nForwarded: host=elsewhere.example\r\n"),
    _get(
        "X-Original-URL and X-Rewrite-URL",
        CLEANED,
        "/odd",
        "Host: HOST\r\nX-Original-URL: /internal/x\r\nX-Rewrite-URL: /internal/x\r\n",
    ),
    _get("X-HTTP-Method-Override", CLEANED, "/odd", "Host: HOST\r\nX-HTTP-Method-Override: DELETE\r\n"),
)
ALL = (*SMUGGLING, *PATHS, *HOSTS)

"""What may pass in headers and paths, both ways. Pure functions over names and values.

From outside nothing that our processes trust may come in: forwarding headers, service secrets, tokens, or a name with
an underscore (which WSGI cannot tell from a hyphen). From a workspace nothing may go out that speaks for the hub: no
cookie but its own, and the edge's security headers replace its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, unquote, urlencode

HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split()
)
_NEVER_INBOUND = frozenset({"forwarded", "x-real-ip", "x-real-scheme", "x-scheme", "x-remote-user", "expect", "host"})
_NEVER_INBOUND |= {"x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override"}
_NEVER_INBOUND_PREFIXES = ("x-forwarded-", "x-enclave-", "sec-websocket-")
_WORKSPACE_COOKIES = frozenset({"_xsrf"})
_WORKSPACE_ANSWERS = frozenset(
    "accept-ranges allow cache-control content-encoding content-length content-range content-type date etag expires "
    "last-modified vary".split()
)
"""Others could carry bytes out (Location, Refresh, Link, Reporting-Endpoints, NEL) or offer a download."""

Headers = list[tuple[str, str]]

WORKSPACE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' {websocket}; "
    "frame-src 'none'; worker-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'; "
    "sandbox allow-scripts allow-same-origin allow-forms allow-modals"
)
"""Measured against 24 ways to call out from a notebook: what is left are DNS names in link tags. It also stops
downloads that the page makes itself."""

SECURITY_HEADERS: dict[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), clipboard-read=(), usb=(), display-capture=()",
    "X-DNS-Prefetch-Control": "off",
}


class PathRefusedError(Exception):
    """The path is written in a way no honest browser writes it."""


_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")


def name_of(host: str) -> str | None:
    """The name in a ``Host`` field, lower-case; None for anything but a name and perhaps a port (RFC 9110 7.2)."""
    match = _HOST.fullmatch(host)
    return match["name"].lower().rstrip(".") if match else None


def check_target(raw: str) -> None:
    """A browser names an origin server's path only; an absolute target could name another host than ``Host`` does."""
    if not raw.startswith("/"):
        raise PathRefusedError("Expected a path, found an absolute address.")


def decode_path(raw_path: str) -> str:
    """The path as the upstream will understand it. Raises PathRefusedError for steps upwards, backslashes, controls."""
    if not raw_path.startswith("/"):
        raise PathRefusedError("Expected a path that begins with a slash.")
    path = unquote(raw_path, errors="strict") if raw_path.isascii() else raw_path
    if any(ord(character) < 32 or character in "\\\x7f" for character in path):
        raise PathRefusedError("Expected a plain path, found a control sign or a backslash.")
    if any(segment in (".", "..") for segment in path.split("/")):
        raise PathRefusedError("Expected a plain path, found a step upwards.")
    return path


def is_internal(path: str) -> bool:
    """The decoded path belongs to the API between our own processes, which never comes from outside."""
    segments = [segment for segment in path.split("/") if segment.strip()]
    return bool(segments) and segments[0].strip().split(";")[0].casefold() == "internal"


def clean_request(headers: Iterable[tuple[str, str]], *, host: str, scheme: str, remote: str) -> Headers:
    """Headers for the upstream: hop-by-hop and untrusted ones gone, our own forwarding headers added."""
    given = list(headers)
    named = {n.strip().lower() for key, value in given if key.lower() == "connection" for n in value.split(",")}
    kept = [(key, value) for key, value in given if _may_come_in(key.lower(), named)]
    return [
        *kept,
        ("Host", host),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-For", remote),
    ]


def _may_come_in(name: str, named: set[str]) -> bool:
    if "_" in name or name in HOP_BY_HOP or name in named or name in _NEVER_INBOUND:
        return False
    return not name.startswith(_NEVER_INBOUND_PREFIXES)


def for_hub(headers: Headers) -> Headers:
    """Towards the hub: no token from outside; people come with cookies, services do not come through the edge."""
    return [(key, value) for key, value in headers if key.lower() != "authorization"]


def for_workspace(headers: Headers) -> Headers:
    """Towards a workspace: no token and no cookie but the server's own; the hub's sessions are none of its business.

    It is asked for plain answers: what is packed can neither be cleaned nor counted.
    """
    kept = [(key, value) for key, value in for_hub(headers) if key.lower() not in ("cookie", "accept-encoding")]
    cookies = parse_cookies(value for key, value in headers if key.lower() == "cookie")
    own = "; ".join(f"{name}={value}" for name, value in cookies.items() if name in _WORKSPACE_COOKIES)
    return [*kept, ("Cookie", own)] if own else kept


def parse_cookies(values: Iterable[str]) -> dict[str, str]:
    """Names and raw values of cookie headers; the first of a name wins, as browsers send the longest path first."""
    found: dict[str, str] = {}
    for value in values:
        for pair in value.split(";"):
            name, equals, content = pair.strip().partition("=")
            if equals:
                found.setdefault(name, content)
    return found


def clean_response(headers: Iterable[tuple[str, str]]) -> Headers:
    """Headers for the browser: no hop-by-hop headers, no word on which server it is."""
    dropped = HOP_BY_HOP | {"server", "x-powered-by"}
    return [(key, value) for key, value in headers if key.lower() not in dropped]


def from_workspace(headers: Headers, *, prefix: str, websocket_origin: str) -> Headers:
    """Headers of a workspace's answer: a positive list, cookies and redirects only to itself, our content policy."""
    kept = [
        (key, value)
        for key, value in headers
        if key.lower() in _WORKSPACE_ANSWERS
        or (key.lower() == "set-cookie" and _is_own_cookie(value, prefix))
        or (key.lower() == "location" and _is_own_address(value))
    ]
    return [*kept, ("Content-Security-Policy", WORKSPACE_POLICY.format(websocket=websocket_origin))]


def _is_own_address(location: str) -> bool:
    return re.fullmatch(r"/(?![/\\])[!-~]*", location) is not None


def _is_own_cookie(value: str, prefix: str) -> bool:
    cookie: SimpleCookie = SimpleCookie()
    try:
        cookie.load(value)
    except CookieError:
        return False
    return bool(cookie) and all(
        name in _WORKSPACE_COOKIES and not morsel["domain"] and (morsel["path"] + "/").startswith(prefix + "/")
        for name, morsel in cookie.items()
    )


def without_token(query: str) -> str:
    """The query string without ``token=``: nobody logs in to a workspace with a link."""
    if "token" not in unquote(query).lower():
        return query
    pairs = [(k, v) for k, v in parse_qsl(query, keep_blank_values=True) if k.lower() != "token"]
    return urlencode(pairs)

"""A person at a browser, without the browser: cookies, redirects, forms, a second factor, WebSockets.

It speaks to the edge's address with the public host names, exactly as a browser would; names under ``.localhost``
resolve to loopback by RFC 6761, which this client does itself because the C library here does not.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from enclave.journey.forms import Form, Page, read_page
from enclave.settings import Settings

_AWAY = (502, 503, 504)
_MOST_REDIRECTS = 20
"""As browsers have it. Logging in at the hub, the pass for a workspace's own origin and its page take about ten."""


class JourneyError(Exception):
    """A step did not do what it should; the sentence says what was expected and what was found."""


class _ToEdge(AbstractResolver):
    """Every name is the edge: this client never leaves the machine."""

    def __init__(self, host: str) -> None:
        self._host = host

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=self._host, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return None


def totp_code(secret: str, at: float | None = None) -> str:
    """Six digits for a base32 secret (RFC 6238, SHA-1, 30 s), as an authenticator app shows them."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    totp = TOTP(key, 6, SHA1(), 30, enforce_key_length=False)  # noqa: S303 - what authenticator apps speak
    return totp.generate(int(at if at is not None else time.time())).decode()


class Browser:
    """One person's session. Use as an async context manager."""

    def __init__(self, settings: Settings, username: str, password: str, totp_secret: str) -> None:
        self.settings = settings
        self.username = username
        self._password = password
        self._totp_secret = totp_secret
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Browser:
        connector = aiohttp.TCPConnector(resolver=_ToEdge(self.settings.host), use_dns_cache=False)
        timeout = aiohttp.ClientTimeout(total=120)
        headers = {"Accept": "text/html,application/json", "Accept-Language": "en"}
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._session is None:
            raise RuntimeError("expected `async with Browser(…)`, found a browser that is not open")
        return self._session

    async def request(self, method: str, url: str, **options: Any) -> tuple[int, str, bytes, aiohttp.ClientResponse]:
        """One request, redirects followed; a process that is just being restarted is waited for (30 s).

        So is a workspace whose route is just being made: until it is there, the hub sends a browser round and round.
        """
        deadline = time.monotonic() + 30
        while True:
            try:
                async with self.session.request(method, url, max_redirects=_MOST_REDIRECTS, **options) as answer:
                    body = await answer.read()
                    if answer.status not in _AWAY or time.monotonic() > deadline:
                        return answer.status, str(answer.url), body, answer
            except (TimeoutError, aiohttp.ClientConnectionError, aiohttp.TooManyRedirects) as error:
                if time.monotonic() > deadline:
                    raise JourneyError(f"Expected {url} to answer, found {type(error).__name__}.") from error
            await asyncio.sleep(0.25)

    async def get(self, url: str) -> Page:
        """Open a page of the portal (a path) or any address of the enclave."""
        status, final, body, _ = await self.request("GET", urljoin(self.settings.portal_url, url))
        return read_page(final, status, body.decode(errors="replace"))

    async def submit(
        self, page: Page, form: Form, files: dict[str, tuple[str, bytes]] | None = None, to: str = "", **fields: str
    ) -> Page:
        """Fill in ``fields`` and send the form (``to``: the button's own target); returns the page one lands on."""
        values = {**form.fields, **fields}
        data: Any = values
        if files:
            data = aiohttp.FormData()
            for name, value in values.items():
                data.add_field(name, value)
            for name, (filename, content) in files.items():
                data.add_field(name, content, filename=filename)
        target = urljoin(page.url, to or form.action or page.url)
        headers = {"Referer": page.url, "Origin": self.settings.portal_url}
        status, final, body, _ = await self.request(form.method.upper(), target, data=data, headers=headers)
        return read_page(final, status, body.decode(errors="replace"))

    async def log_in(self) -> Page:
        """Password, then the code of the second factor. Raises JourneyError when the portal says no."""
        page = await self.get("/accounts/login/")
        page = await self.submit(page, page.form(with_field="password"), login=self.username, password=self._password)
        if "authenticate" not in page.url:
            raise JourneyError(f"Expected the question for {self.username}'s second factor, found {page.url}.")
        code = totp_code(self._totp_secret)
        page = await self.submit(page, page.form(with_field="code"), code=code)
        if "authenticate" in page.url:  # a code works once; whoever has used this one waits for the next
            while totp_code(self._totp_secret) == code:
                await asyncio.sleep(0.25)
            fresh = totp_code(self._totp_secret)
            page = await self.submit(page, page.form(with_field="code"), code=fresh)
        if "/accounts/" in page.url:
            raise JourneyError(f"Expected {self.username} to be logged in, found {page.url}.")
        return page

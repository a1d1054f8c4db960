"""Pass one request to one socket and its answer back, streaming both ways; WebSockets frame by frame.

The address sent upstream is exactly the one that was judged (no re-quoting). Non-goals: caching, retries, compression.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from enclave.edge import pages
from enclave.edge.headers import Headers, clean_response
from enclave.edge.kernel_frames import Data
from enclave.edge.sockets import UNREACHABLE, Upstreams

_CHUNK = 1 << 16
_MAX_MESSAGE = 64 << 20
_PROTOCOL_HEADER = "Sec-WebSocket-Protocol"


@dataclass(frozen=True)
class Errand:
    """One request on its way: where to, with which headers, and what happens to the answer."""

    socket: Path
    path_and_query: str
    headers: Headers
    clean_answer: Callable[[Headers], Headers]
    maximum_bytes: int | None = None
    on_message: Callable[[], None] = lambda: None
    """Called for each WebSocket message of a person at work."""
    frames: Callable[[Data, str | None], Awaitable[Sequence[Data]]] | None = None
    """What goes on to the browser in place of a frame, given the subprotocol. None: the frame itself."""
    typed: Callable[[Data], Awaitable[Sequence[Data]]] | None = None
    """What goes on to the workspace in place of a browser's frame. None: the frame itself."""
    whole_body: Callable[[bytes], Awaitable[bytes]] | None = None
    """What goes on in place of a whole body; needs ``maximum_bytes``. UnreadableAnswerError, NotShownError."""
    on_bytes: Callable[[int], Awaitable[None]] | None = None
    """Called before so many bytes of a body go on."""


class AnswerTooLargeError(Exception):
    """The upstream sends more than the errand allows."""


class UnreadableAnswerError(Exception):
    """An answer that had to be looked into could not be read."""


class NotShownError(Exception):
    """An answer is not to be shown; the text is for the person."""


async def forward(request: web.Request, upstreams: Upstreams, errand: Errand) -> web.StreamResponse:
    """Answer ``request`` with what the socket says; our own 502 or 503 page when it says nothing."""
    try:
        if is_websocket(request):
            return await _forward_websocket(request, upstreams, errand)
        return await _forward_http(request, upstreams, errand)
    except UNREACHABLE as error:
        started = isinstance(error, aiohttp.ServerDisconnectedError)
        return pages.page(request, "broken" if started else "away")
    except (aiohttp.ClientError, TimeoutError, UnreadableAnswerError):
        return pages.page(request, "broken")
    except NotShownError as error:
        return pages.refusal(request, (str(error),))


def is_websocket(request: web.BaseRequest) -> bool:
    """The browser asks to switch to a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _upstream_url(errand: Errand) -> URL:
    return URL(f"http://upstream{errand.path_and_query}", encoded=True)


async def _forward_http(request: web.Request, upstreams: Upstreams, errand: Errand) -> web.StreamResponse:
    body = request.content if request.can_read_body else None
    session = upstreams.session(errand.socket)
    async with session.request(
        request.method, _upstream_url(errand), headers=CIMultiDict(errand.headers), data=body, allow_redirects=False
    ) as answer:
        length = answer.headers.get("Content-Length", "")
        if errand.maximum_bytes is not None and length.isdigit() and int(length) > errand.maximum_bytes:
            return pages.page(request, "too-large")
        if errand.whole_body is not None:
            return await _answer_rewritten(request, errand, answer)
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for key, value in errand.clean_answer(clean_response(answer.headers.items())):
            response.headers.add(key, value)
        await response.prepare(request)
        try:
            await _copy_body(answer, response, errand)
        except (AnswerTooLargeError, aiohttp.ClientError):
            # The head is out already: a cut connection is the only way left to say that this is not the whole answer.
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response


async def _answer_rewritten(request: web.Request, errand: Errand, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """An answer that is read whole and changed before its head goes out.

    Its ETag stays: the same content upstream gives the same answer here, and the panel asks again by it.
    """
    if answer.headers.get("Content-Encoding", "identity") != "identity" or errand.maximum_bytes is None:
        raise UnreadableAnswerError
    body = b""
    async for chunk in answer.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > errand.maximum_bytes:
            return pages.page(request, "too-large")
    response = web.Response(status=answer.status, reason=answer.reason)
    for key, value in errand.clean_answer(clean_response(answer.headers.items())):
        if key.lower() not in ("content-length", "content-range"):
            response.headers.add(key, value)
    if body and errand.whole_body is not None:
        response.body = await errand.whole_body(body)
    return response


async def _copy_body(answer: aiohttp.ClientResponse, response: web.StreamResponse, errand: Errand) -> None:
    sent = 0
    async for chunk in answer.content.iter_chunked(_CHUNK):
        sent += len(chunk)
        if errand.maximum_bytes is not None and sent > errand.maximum_bytes:
            raise AnswerTooLargeError
        if errand.on_bytes is not None:
            await errand.on_bytes(len(chunk))
        await response.write(chunk)


async def _forward_websocket(request: web.Request, upstreams: Upstreams, errand: Errand) -> web.StreamResponse:
    if not web.WebSocketResponse().can_prepare(request):
        return web.Response(status=400)  # no handshake: nothing of it reaches the upstream
    offered = request.headers.get(_PROTOCOL_HEADER, "")
    protocols = tuple(name.strip() for name in offered.split(",") if name.strip())
    try:
        upstream = await upstreams.session(errand.socket).ws_connect(
            _upstream_url(errand),
            headers=CIMultiDict(errand.headers),
            protocols=protocols,
            max_msg_size=_MAX_MESSAGE,
            autoping=True,
        )
    except aiohttp.WSServerHandshakeError as error:
        return web.Response(status=error.status if 400 <= error.status < 600 else 502)
    async with upstream:
        chosen = (upstream.protocol,) if upstream.protocol else ()
        browser = web.WebSocketResponse(protocols=chosen, max_msg_size=_MAX_MESSAGE, heartbeat=30)
        await browser.prepare(request)
        await _pump_both_ways(browser, upstream, errand)
    return browser


async def _pump_both_ways(
    browser: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse, errand: Errand
) -> None:
    async def onwards(data: Data) -> Sequence[Data]:
        return (data,) if errand.frames is None else await errand.frames(data, upstream.protocol)

    ways = [
        asyncio.create_task(_pump(browser, upstream, errand.on_message, errand.typed or _as_it_is)),
        asyncio.create_task(_pump(upstream, browser, errand.on_message, onwards)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    code = upstream.close_code or browser.close_code or 1001
    await browser.close(code=code if 1000 <= code < 5000 and code not in (1005, 1006, 1015) else 1001)


async def _as_it_is(data: Data) -> Sequence[Data]:
    return (data,)


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    on_message: Callable[[], None],
    onwards: Callable[[Data], Awaitable[Sequence[Data]]],
) -> None:
    async for message in source:
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return
        for data in await onwards(message.data):
            if isinstance(data, str):
                await sink.send_str(data)
            else:
                await sink.send_bytes(data)
        on_message()

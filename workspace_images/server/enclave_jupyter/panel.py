"""What JupyterLab's panel asks for, under ``{base}/enclave/``: a thin way to the gateway, with the workspace's token.

    GET  project   who, project, permit, caps and what is left of today      GET  tables   tables and columns
    GET  queries   this person's running and recent queries                  POST cancel   {"id"}
    GET  outbox    files with the findings of the disclosure checks          POST release  see ReleaseHandler
    GET  limits    until when this workspace runs, limits it has reached    POST keep     {}: somebody is here

Who asks with ``?known=`` and the digest of an earlier answer (its ETag) gets ``{"unchanged": true}`` while that holds:
the panel asks every few seconds, and what reaches the browser is metered. Nothing here is a control (the module above
says why): gateway and portal decide. An error is a sentence, with 502.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enclave_client.errors import EnclaveError
from enclave_client.session import call_action
from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web

from enclave_jupyter.outbox import OutboxFindings

LIMITS_FILE = Path("/run/enclave/limits.json")
REACHED = tuple(Path("/run/enclave") / name for name in ("files.json", "disk.json", "shared.json"))
"""There while the workspace is over a limit, or has no shared folder; each holds the sentence in both languages."""
_OUTBOX = OutboxFindings(Path.home() / "outbox", call_action)


class GatewayHandler(APIHandler):
    """One thing to ask; the blocking call runs on a thread of its own."""

    _digest: str | None = None

    def compute_etag(self) -> str | None:
        """Of what matters in the answer; the panel sends it back as ``known``."""
        return f'"{self._digest}"' if self._digest else None

    def lasting(self, found: Any) -> Any:
        """The part of an answer whose change makes it another answer."""
        return found

    async def answer(self, ask: Callable[[], Any]) -> None:
        """The answer as JSON, or the gateway's sentence."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(None, ask)
        except EnclaveError as error:
            self.set_status(502)
            found = {"message": str(error)}
        else:
            self._digest = hashlib.sha256(json.dumps(self.lasting(found)).encode()).hexdigest()[:32]
            if self.request.method == "GET" and self.get_argument("known", "") == self._digest:
                found = {"unchanged": True}
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(found))

    def fields(self, *names: str) -> dict[str, Any]:
        """Exactly these fields of the body. Raises HTTPError 400."""
        body = self.get_json_body()
        if not isinstance(body, dict) or set(body) != set(names):
            raise web.HTTPError(400, f"Expected an object with the fields {', '.join(names)}, found another body.")
        return body


class ProjectHandler(GatewayHandler):
    """Who, project, permit, caps."""

    @web.authenticated
    async def get(self) -> None:
        """``enclave.limits`` as it is."""
        await self.answer(lambda: call_action("enclave.limits"))


class TablesHandler(GatewayHandler):
    """Tables and columns of the extract."""

    @web.authenticated
    async def get(self) -> None:
        """``enclave.tables`` as it is."""
        await self.answer(lambda: call_action("enclave.tables"))


class QueriesHandler(GatewayHandler):
    """This person's own queries."""

    @web.authenticated
    async def get(self) -> None:
        """``enclave.queries`` as it is."""
        await self.answer(lambda: call_action("enclave.queries"))

    def lasting(self, found: Any) -> Any:
        """Without the duration of what still runs: the panel counts on by itself."""
        return [{**query, "duration_ms": 0} if query["status"] == "running" else query for query in found]


class CancelHandler(GatewayHandler):
    """Stop a query."""

    @web.authenticated
    async def post(self) -> None:
        """``{"id"}`` as ``queries`` lists it → ``{"cancelled": bool}``."""
        query_id = str(self.fields("id")["id"])
        await self.answer(lambda: call_action("enclave.cancel_query", query_id.encode("ascii", "replace")))


class OutboxHandler(GatewayHandler):
    """Files of the outbox with findings."""

    @web.authenticated
    async def get(self) -> None:
        """``?language=fr`` for the sentences; ``?again=1`` to ask although nothing has changed."""
        language, again = self.get_argument("language", "en"), self.get_argument("again", "") == "1"
        await self.answer(lambda: _OUTBOX.look(language, again=again))


class ReleaseHandler(GatewayHandler):
    """Ask for a release."""

    @web.authenticated
    async def post(self) -> None:
        """``{"files": [names in the outbox], "title", "context", "follows": id or empty}`` → the request as taken."""
        asked = self.fields("files", "title", "context", "follows")
        await self.answer(lambda: call_action("enclave.request_release", asked))


class LimitsHandler(GatewayHandler):
    """How long this workspace still runs."""

    @web.authenticated
    async def get(self) -> None:
        """What ``/run/enclave/limits.json`` holds, with ``reached``: sentences (``{"en", "fr"}``) about limits."""
        reached = [told for file in REACHED if (told := _read(file).get("problems"))]
        found = {**_read(LIMITS_FILE), "reached": reached}
        await self.answer(lambda: found)


def _read(file: Path) -> dict[str, Any]:
    """``{}`` for a file that is not there or holds something else."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class KeepHandler(GatewayHandler):
    """Somebody wants this workspace to go on. Passing the edge is all of it: a POST is a person's doing there."""

    @web.authenticated
    async def post(self) -> None:
        """``{}`` → ``{}``."""
        self.fields()
        await self.answer(dict)


ROUTES: dict[str, type[GatewayHandler]] = {
    "project": ProjectHandler,
    "tables": TablesHandler,
    "queries": QueriesHandler,
    "cancel": CancelHandler,
    "outbox": OutboxHandler,
    "release": ReleaseHandler,
    "limits": LimitsHandler,
    "keep": KeepHandler,
}


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "enclave_jupyter.panel"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    base = os.environ["ENCLAVE_BASE_URL"]
    server.web_app.add_handlers(
        ".*$", [(url_path_join(base, "enclave", name), handler) for name, handler in ROUTES.items()]
    )

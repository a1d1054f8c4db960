"""What ``enclave doctor`` says about compute nodes: whether each answers, has the same image, and how long it may."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from enclave.compute_nodes.image import image_of
from enclave.compute_nodes.machines import Home, Machine, read_home, read_node
from enclave.compute_nodes.serve import NodeError, check_machine
from enclave.compute_nodes.wire import LONGEST_COMMAND, connect_tls, read_frame, write_frame
from enclave.settings import Settings
from enclave.tls_files import TlsError

_SECONDS = 10.0
_RENEW_BEFORE = timedelta(days=14)


@dataclass(frozen=True)
class NodesFound:
    """``said``: in words; ``problem``: empty when all is well."""

    said: str
    problem: str = ""


def look_at_nodes(settings: Settings) -> NodesFound:
    """Asks every node of the settings; changes nothing there."""
    try:
        home = read_home(settings)
    except TlsError as error:
        return NodesFound("compute nodes", str(error).removesuffix("."))
    if home is None:
        return NodesFound("compute nodes: none (cluster_nodes is empty)")
    found = asyncio.run(_look(home, image_of(settings)))
    problems = [one.problem for one in found if one.problem]
    if home.identity.expires_at - datetime.now(UTC) < _RENEW_BEFORE:
        problems.append(f"the certificate in cluster_tls_certificate ends on {home.identity.expires_at:%Y-%m-%d}")
    return NodesFound(f"compute nodes: {', '.join(one.said for one in found)}", "; ".join(problems))


def look_at_this_node(settings: Settings) -> NodesFound | None:
    """What a machine that is to be a node lacks; None: it is none."""
    if not settings.node_address:
        return None
    try:
        check_machine(settings)
        node = read_node(settings)
    except (TlsError, NodeError) as error:
        return NodesFound("this machine as a compute node", str(error).removesuffix("."))
    ends = node.identity.expires_at
    said = f"this machine as a compute node of {node.home} ({node.workers} workers, certificate until {ends:%Y-%m-%d})"
    is_late = ends - datetime.now(UTC) < _RENEW_BEFORE
    return NodesFound(said, f"the certificate in cluster_tls_certificate ends on {ends:%Y-%m-%d}" if is_late else "")


async def _look(home: Home, image: str) -> list[NodesFound]:
    return await asyncio.gather(*(_probe(node, home.identity.client, image) for node in home.nodes))


async def _probe(node: Machine, client: ssl.SSLContext, image: str) -> NodesFound:
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await connect_tls(node, client)
            try:
                shown = writer.get_extra_info("peercert")
                write_frame(writer, json.dumps({"do": "hello"}).encode())
                answer = json.loads(await read_frame(reader, LONGEST_COMMAND))
                workers, other = int(answer["workers"]), str(answer["image"])
            finally:
                writer.transport.abort()
    except (OSError, ValueError, KeyError, TypeError) as error:
        return NodesFound(node.name, f"{node.name} does not answer as a node ({type(error).__name__})")
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    said = f"{node.name} ({workers} workers, certificate until {ends:%Y-%m-%d})"
    if other != image:
        return NodesFound(said, f"{node.name} has another workspace image than this machine")
    is_late = ends - datetime.now(UTC) < _RENEW_BEFORE
    return NodesFound(said, f"the certificate of {node.name} ends on {ends:%Y-%m-%d}" if is_late else "")

"""What the edge costs per kernel message: round trips through it against a direct connection to the same socket.

A stand-in kernel channel answers each request with one message, in the form JupyterLab uses; the edge is the real
process with its meter, cleaning and pass. Prints the median of both, the difference and the ratio for three kinds of
message. (A real kernel's own round trip takes 3 to 4 ms; the stand-in takes none.)
"""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
from rounds import load_stand

from enclave.access import AccessFiles
from enclave.domain.ids import ProjectId
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
stand = load_stand()
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("integration/edge", "unit/edge")]
from kernel_messages import V1, frame, message  # type: ignore[import-not-found]  # noqa: E402
from stand_in_workspace import KERNEL, StandInWorkspace  # type: ignore[import-not-found]  # noqa: E402

ROUNDS, TRIPS = 5, 200
PROJECT = ProjectId("gibleed-nsaids")
ROW = "<tr><td>12</td><td>abcdef</td><td>3.25</td></tr>"
KINDS = {
    "stream, 20 bytes": message("stream", {"name": "stdout", "text": "a line of output\n"}),
    "table, 60 rows": message(
        "execute_result",
        {"data": {"text/html": f"<table>{ROW * 60}</table>", "text/plain": "12 abcdef 3.25\n" * 60}, "metadata": {}},
    ),
    "plot, 60 kB PNG": message("display_data", {"data": {"image/png": "iVBORw0K" * 7500, "text/plain": "<Figure>"}}),
}


async def trips(url: str, connector: aiohttp.BaseConnector | None, headers: dict[str, str]) -> list[float]:
    """Seconds of each round trip after a warm-up."""
    taken: list[float] = []
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url, headers=headers, protocols=(V1,), max_msg_size=0) as socket,
    ):
        for number in range(TRIPS + 50):
            began = time.perf_counter()
            await socket.send_str("{}")
            await socket.receive()
            if number >= 50:
                taken.append(time.perf_counter() - began)
    return taken


async def compare(workspace: Any) -> tuple[float, float]:
    """Medians in microseconds, direct and through the edge; rounds alternate so that both see the same machine."""
    settings = workspace.stand.settings
    path = f"{workspace.prefix}{KERNEL}"
    host = workspace.origin.partition("//")[2]
    headers = {"Host": host, "Origin": workspace.origin, "Cookie": workspace.pass_cookie()}
    socket = settings.run_dir / f"{workspace.user}-{workspace.project}.sock"
    direct: list[float] = []
    edge: list[float] = []
    for _ in range(ROUNDS):
        direct += await trips(f"http://workspace{path}", aiohttp.UnixConnector(str(socket)), {})
        edge += await trips(f"http://127.0.0.1:{settings.port}{path}", None, headers)
    return statistics.median(direct) * 1e6, statistics.median(edge) * 1e6


def widen_budget(settings: Settings) -> None:
    """A permit whose budget nobody meets here."""
    permit = (ROOT / "examples" / "permits" / "gibleed.yaml").read_text()
    wide = "shown_bytes_per_day: 100000000000, shown_rows_per_day: 100000000"
    permit = permit.replace("idle_minutes: 120", f"idle_minutes: 120, {wide}")
    sha256 = hashlib.sha256(permit.encode()).hexdigest()
    record = ProjectRecord(PROJECT, "Benchmark", ProjectState.ACTIVE, None, sha256, date(2999, 1, 1), frozenset())
    AccessFiles(settings).write_project(record)
    AccessFiles(settings).permit_file(PROJECT).write_text(permit)


def main() -> None:
    with stand.Stand(with_hub=False) as running, StandInWorkspace(running, project=PROJECT) as workspace:
        widen_budget(running.settings)
        print(f"{'message':20} {'direct µs':>10} {'edge µs':>10} {'more µs':>8} {'ratio':>6}")
        for name, given in KINDS.items():
            workspace.frames = [frame(given, "v1-binary")]
            direct, edge = asyncio.run(compare(workspace))
            print(f"{name:20} {direct:10.0f} {edge:10.0f} {edge - direct:8.0f} {edge / direct:6.2f}")
        state = workspace.call("GET", "/enclave/exposure").json()["state"]
        assert state == "ok", f"the meter interfered: {state}"


if __name__ == "__main__":
    main()

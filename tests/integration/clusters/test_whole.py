"""A researcher's cluster with every real part: her kernel, hub, host, islands, dask-gateway, gateway, audit log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from enclave_gateway_stand import PERSON  # type: ignore[import-not-found]
from enclave_test_stand import is_alive, wait_for  # type: ignore[import-not-found]

ALICE = """
import os, socket
from enclave_client import dask as enclave_dask, sql
counted = sql('SELECT ward, count(*) AS n FROM stay GROUP BY ward ORDER BY ward').arrow().to_pylist()
with enclave_dask.client(2) as client:
    client.wait_for_workers(2)
    print(len(client.scheduler_info()['workers']), client.submit(sum, [1, 2, 3]).result())
    stay = enclave_dask.table('stay', parts=2)
    print(dict(stay.groupby('ward').size().compute()) == {row['ward']: row['n'] for row in counted})
    def look():
        reached = []
        for port in sorted(PORTS | {8000, 8786, 8787}):
            with socket.socket() as probe:
                if probe.connect_ex(('127.0.0.1', port)) == 0:
                    reached.append(port)
        return [name for _, name in socket.if_nameindex()], reached
    print(client.submit(look).result())
    print(client.submit(lambda: os.path.exists('/home/researcher/start-here.ipynb')).result())
"""


@pytest.fixture(scope="module")
def stand(clusters: Any) -> Iterator[Any]:
    yield clusters


def test_she_computes_reads_a_table_and_is_recorded(stand: Any) -> None:
    ours = {stand.settings.port, *stand.service_ports()}
    assert len(ours) >= 4  # the edge, the API, the proxy's two
    printed = stand.alice.run_cell(stand.here, f"PORTS = {ours!r}{ALICE}", 150)
    assert printed == "2 6\nTrue\n(['lo'], [8000, 8786, 8787])\nFalse\n", printed
    started = stand.wait_event("cluster:started", workspace=stand.workspace)
    assert started["actor"] == PERSON and started["project"] == "ward-study" and started["decision"] == "allow"
    ended = stand.wait_event("cluster:stopped", subject=started["subject"])
    assert ended["data"]["reason"] == "asked"
    of_workers = [e for e in stand.events("query:outcome") if started["at"] < e["at"] < ended["at"]]
    assert len(of_workers) >= 2
    assert {(e["actor"], e["workspace"]) for e in of_workers} == {(PERSON, stand.workspace)}
    wait_for(lambda: not list(stand.islands.glob("*")), "nothing to be left of the island")
    assert stand.dask_processes() == []
    assert stand.events("token:refused") == []


def test_a_revoked_persons_cluster_ends_with_her_workspace(stand: Any) -> None:
    """The last of this file: her workspace is gone."""
    kernel = stand.alice.open_kernel(stand.here)
    made = "from enclave_client import dask as d\ncluster = d.cluster(1)\nprint(cluster.status)"
    assert stand.alice.execute(stand.here, kernel, made, 150) == "running\n"
    started = wait_for(lambda: stand.events("cluster:started")[1:], "the record of her second cluster")[0]
    below = wait_for(stand.dask_processes, "her cluster's processes")
    stand.portal.revoke("alice")
    ended = stand.wait_event("cluster:stopped", subject=started["subject"])
    assert ended["data"]["reason"] in ("workspace-stopped", "scheduler-ended", "failed")  # what is noticed first
    wait_for(lambda: not any(is_alive(pid) for pid in below), "the end of her cluster's processes")

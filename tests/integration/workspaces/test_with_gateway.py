"""The client package and the starter notebook in a real workspace, against the real gateway, audit daemon and extract.

Only the portal is a stand-in; it signs real tokens and takes output requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from enclave_gateway_stand import PERSON, PROJECT, GatewayStand  # type: ignore[import-not-found]
from enclave_test_docker import BASE_IMAGE  # type: ignore[import-not-found]
from enclave_test_stand import wait_for  # type: ignore[import-not-found]

from enclave import keys, tokens
from enclave.domain.ids import ProjectId, Username, WorkspaceId


@pytest.fixture(scope="module")
def workspace() -> Iterator[tuple[Any, str, Any]]:
    with GatewayStand() as stand:
        alice = stand.browser("alice")
        yield alice, alice.start_workspace(PROJECT), stand


def test_the_starter_notebook_runs_in_the_workspace(workspace: tuple[Any, str, Any]) -> None:
    alice, here, stand = workspace
    opened = alice.call("GET", f"{here}/api/contents/start-here.ipynb", params={"content": "1"}).json()["content"]
    cells = [cell["source"] for cell in opened["cells"] if cell["cell_type"] == "code"]
    printed = alice.run_cell(here, "\n".join(cells) + "\nprint(distribution.to_csv(index=False))", 150)
    assert "Error" not in printed, printed
    assert "value,n" in printed and "south," in printed
    assert "Output request o-1: submitted" in printed
    taken = stand.portal.requests[-1]
    assert taken["files"] == ["first-distribution.csv", "first-distribution.png"]
    outbox: Path = stand.settings.workspaces_dir / PROJECT / "alice" / "outbox"
    assert (outbox / "first-distribution.csv").read_text().startswith("value,n\nsouth,")


def test_sql_cells_and_frames(workspace: tuple[Any, str, Any]) -> None:
    alice, here, _ = workspace
    code = (
        "import enclave_client as e\n"
        "get_ipython().run_cell_magic('sql', 'wards', 'SELECT ward, count(*) AS n FROM stay GROUP BY 1 ORDER BY 1')\n"
        "print(list(wards.columns), list(wards['ward']))\n"
        "r = e.sql('SELECT count(*) AS n FROM stay WHERE ward = ?', ['north'])\n"
        "print(len(r), r.pl().shape, r.arrow().num_rows, 'rows' in repr(r), '<table' in r._repr_html_())\n"
        "with e.connect() as c, c.cursor() as k:\n    k.execute('SELECT 7'); print(k.fetchone())\n"
        "print(e.project())\n"
        "print(sorted(e.tables().columns), len(e.tables()))\n"
    )
    printed = alice.run_cell(here, code, 120)
    assert "wards: 2 rows × 2 columns" in printed
    assert "['ward', 'n'] ['north', 'south']" in printed
    assert "1 (1, 1) 1 True True" in printed
    assert "(7,)" in printed
    assert "Ward study (ward-study), as alice, until 2099-12-31" in printed
    assert "['rows', 'treatment', 'type'] 3" in printed


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("e.sql('SELECT * FROM nowhere')", "nowhere"),
        ("e.sql('SELECT * FROM read_csv(\\'/etc/passwd\\')')", "read_csv"),
        ("e.sql('DROP TABLE stay')", "the extract is read-only"),
        ("e.request_release([], title='x', context='y')", "at least one file"),
        ("e.request_release(['/etc/passwd'], title='x', context='y')", "home"),
        ("e.request_release(['missing.csv'], title='x', context='y')", "missing.csv"),
    ],
)
def test_refusals_are_sentences(workspace: tuple[Any, str, Any], statement: str, word: str) -> None:
    alice, here, _ = workspace
    printed = alice.run_cell(here, f"import enclave_client as e\n{statement}", 60)
    assert printed.startswith("EnclaveError: "), printed
    assert word in printed
    assert "gRPC" not in printed and "FlightSQL" not in printed and "context" not in printed.lower(), printed


def test_a_dask_cluster_of_two_processes_reads_a_table(workspace: tuple[Any, str, Any]) -> None:
    alice, here, _ = workspace
    code = (
        "from enclave_client import dask as enclave_dask, sql\n"
        "counted = sql('SELECT ward, count(*) AS n FROM stay GROUP BY ward ORDER BY ward').arrow().to_pylist()\n"
        "wards = [(row['ward'], row['n']) for row in counted]\n"
        "with enclave_dask.client(2) as client:\n"
        "    print(len(client.scheduler_info()['workers']), 'workers')\n"
        "    stay = enclave_dask.table('stay', parts=4)\n"
        "    print(stay.npartitions, sorted(dict(stay.groupby('ward').size().compute()).items()) == wards)\n"
        "    counted = enclave_dask.aggregate('stay', by=['ward'], values={'n': ('count', '*')}, parts=3)\n"
        "    print([tuple(row) for row in counted.values.tolist()] == wards)\n"
        "    print(all(address.startswith('tcp://127.0.0.1:') for address in client.scheduler_info()['workers']))\n"
        "import os; os.environ['ENCLAVE_DASK_GATEWAY'] = 'http://127.0.0.1:1'\n"
        "enclave_dask.client()\n"
    )
    printed = alice.run_cell(here, code, 150)
    assert "2 workers\n4 True\nTrue\nTrue\n" in printed, printed
    assert "Expected a socket (unix:/…) in ENCLAVE_DASK_GATEWAY" in printed, printed


def test_another_workspaces_token_is_worth_nothing_on_this_socket(workspace: tuple[Any, str, Any]) -> None:
    alice, here, stand = workspace
    foreign = tokens.issue(
        keys.token_private_key(stand.settings),
        person=PERSON,
        username=Username("alice"),
        project=ProjectId("other-study"),
        workspace=WorkspaceId("w-000000000000"),
        ttl=timedelta(minutes=5),
    )
    code = (
        f"import os; open('/tmp/t', 'w').write({foreign!r}); os.environ['ENCLAVE_TOKEN_FILE'] = '/tmp/t'\n"
        "import enclave_client as e\ne.sql('SELECT 1')"
    )
    assert alice.run_cell(here, code, 60).startswith("EnclaveError: ")


def test_the_panel_reads_project_tables_and_queries(workspace: tuple[Any, str, Any]) -> None:
    alice, here, _ = workspace
    assert alice.run_cell(here, "import enclave_client as e\nprint(len(e.sql('SELECT 42 AS for_the_panel')))") == "1\n"
    project = alice.call("GET", f"{here}/enclave/project").json()
    assert (project["username"], project["purpose"]) == ("alice", "Count people per ward.")
    tables = alice.call("GET", f"{here}/enclave/tables").json()
    assert [column["treatment"] for column in tables[0]["columns"]] == ["person-pseudonym", "keep", "shift-date"]
    queries = alice.call("GET", f"{here}/enclave/queries").json()
    assert (queries[0]["statement"], queries[0]["status"]) == ("SELECT 42 AS for_the_panel", "ok")
    assert isinstance(alice.call("GET", f"{here}/enclave/limits").json(), dict)
    known = alice.call("GET", f"{here}/enclave/queries").headers["ETag"].strip('"')
    assert alice.call("GET", f"{here}/enclave/queries", params={"known": known}).json() == {"unchanged": True}
    stopped = alice.call("POST", f"{here}/enclave/cancel", json={"id": queries[0]["id"]})
    assert stopped.json() == {"cancelled": False}


def test_the_panel_asks_for_checks_only_when_the_outbox_changes(workspace: tuple[Any, str, Any]) -> None:
    alice, here, stand = workspace
    write = "from pathlib import Path; _ = Path.home().joinpath('outbox', 'ages.csv').write_text('n\\n{}')"
    alice.run_cell(here, write.format(12))

    def settled() -> bool:
        found = alice.call("GET", f"{here}/enclave/outbox", params={"language": "fr"}).json()
        return not found["stale"] and found["files"][0]["name"] == "ages.csv"

    wait_for(settled, "the checks")
    asked = len(stand.portal.checks)
    assert stand.portal.checks[-1]["language"] == "fr"
    assert settled() and len(stand.portal.checks) == asked
    alice.run_cell(here, write.format(13))
    wait_for(lambda: settled() and len(stand.portal.checks) == asked + 1, "the checks of the changed file")


def test_the_panel_asks_for_a_release_and_only_with_the_xsrf_token(workspace: tuple[Any, str, Any]) -> None:
    alice, here, stand = workspace
    body = {"files": ["ages.csv"], "title": "Ages", "context": "People by age.", "follows": "r-0123456789ab"}
    known = len(stand.portal.requests)
    foreign = alice.client.post(stand.hub_url(f"{here}/enclave/release"), json=body)
    assert foreign.status_code == 403 and len(stand.portal.requests) == known
    assert alice.call("POST", f"{here}/enclave/release", json=body).json()["state"] == "submitted"
    taken = stand.portal.requests[-1]
    assert (taken["files"], taken["follows"]) == (["ages.csv"], "r-0123456789ab")
    refused = alice.call("POST", f"{here}/enclave/release", json={**body, "files": []})
    assert refused.status_code == 502
    assert "Expected" in refused.json()["message"]
    assert alice.call("POST", f"{here}/enclave/release", json={"files": []}).status_code == 400


STOCK = """
import os, pathlib, adbc_driver_flightsql.dbapi as driver
token = pathlib.Path(os.environ['ENCLAVE_TOKEN_FILE']).read_text()
options = {'adbc.flight.sql.rpc.call_header.authorization': f'Bearer {token}'}
with driver.connect(os.environ['ENCLAVE_GATEWAY'], db_kwargs=options, autocommit=True) as c, c.cursor() as k:
    k.execute('SELECT ward, count(*) AS n FROM stay GROUP BY 1 ORDER BY 1')
    rows = k.fetchall()
print([ward for ward, _ in rows], os.path.exists('/.dockerenv'))
total = sum(n for _, n in rows)
"""


def test_a_stock_client_and_dask_in_a_container(workspace: tuple[Any, str, Any], docker_host: str) -> None:
    """The last of this file: the same workspace, opened anew after the site has chosen Docker."""
    alice, here, stand = workspace
    token = keys.hub_api_token(stand.settings)
    wid = next(reversed(stand.portal.started))
    assert stand.hub_api("DELETE", f"/users/alice/servers/{PROJECT}", token).status_code in (202, 204)
    wait_for(lambda: wid in stand.portal.stopped, "the workspace to end")
    stand.stop(stand.hub)
    stand.options |= {
        "ENCLAVE_ENGINE": "docker",
        "ENCLAVE_DOCKER_HOST": docker_host,
        "ENCLAVE_DOCKER_IMAGE": BASE_IMAGE,
    }
    stand.hub = stand.start("enclave.workspaces.serve")
    wait_for(lambda: stand.answers(stand.hub_url("/hub/api")), "the hub with its new settings")
    here = alice.start_workspace(PROJECT)
    code = STOCK + (
        "from enclave_client import dask as enclave_dask\n"
        "with enclave_dask.client(2) as client:\n"
        "    print(len(client.scheduler_info()['workers']), len(enclave_dask.table('stay', parts=4)) == total > 0)\n"
    )
    printed = alice.run_cell(here, code, 150)
    assert "['north', 'south'] True\n" in printed and "2 True\n" in printed, printed

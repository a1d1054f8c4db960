"""A real hub starts real sandboxes; everything goes through the real edge (portal and gateway are stand-ins)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from enclave_test_live_processes import is_mounted_nowhere  # type: ignore[import-not-found]
from enclave_test_stand import wait_for  # type: ignore[import-not-found]

from enclave.domain.ids import WorkspaceId
from enclave.process_table import children
from enclave.workspaces import launch


@pytest.fixture(scope="module")
def alice(stand: Any) -> Any:
    browser = stand.browser("alice")
    browser.here = browser.start_workspace("gibleed-nsaids")
    return browser


@pytest.fixture
def bob(stand: Any) -> Iterator[Any]:
    yield stand.browser("bob")


def workspace_of(stand: Any, name: str) -> str:
    return str(next(wid for wid, who in reversed(stand.portal.started.items()) if who == name))


def test_a_cell_runs_through_the_edge(alice: Any) -> None:
    assert alice.run_cell(alice.here, "print(6 * 7)") == "42\n"


def test_the_workspace_finds_what_the_contract_promises(stand: Any, alice: Any) -> None:
    code = (
        "import os, socket, pathlib\n"
        "print(os.environ['ENCLAVE_TOKEN_FILE'], os.environ['ENCLAVE_GATEWAY'])\n"
        "print(pathlib.Path('/run/enclave/token').read_text())\n"
        "s = socket.socket(socket.AF_UNIX); s.connect('/run/enclave/gateway.sock')\n"
        "print(s.recv(99).decode().strip())\n"
        "print(sorted(os.listdir('/run/enclave')), os.path.isdir('/home/researcher/outbox'), os.getcwd())\n"
        "import pandas, polars, pyarrow, dask, distributed, matplotlib, adbc_driver_flightsql, enclave_client\n"
        "print(get_ipython().find_cell_magic('sql') is not None)\n"
    )
    wid = workspace_of(stand, "alice/gibleed-nsaids")
    printed = alice.run_cell(alice.here, code, 120).splitlines()
    assert printed == [
        "/run/enclave/token grpc+unix:///run/enclave/gateway.sock",
        f"test-token-{wid}-1",
        "gateway here",
        "['gateway.sock', 'limits.json', 'token'] True /home/researcher",
        "True",
    ]


def test_the_client_speaks_plainly_when_the_gateway_is_no_gateway(alice: Any) -> None:
    code = (
        "import enclave_client\n"
        "try:\n    enclave_client.sql('SELECT 1')\nexcept enclave_client.EnclaveError as e:\n    print(e)"
    )
    assert "gateway" in alice.run_cell(alice.here, code, 120).lower()


def test_the_home_belongs_to_an_account_of_its_own(stand: Any, alice: Any) -> None:
    status = (stand.settings.workspaces_dir / "gibleed-nsaids" / "alice").stat()
    assert status.st_mode & 0o777 == 0o700
    assert status.st_uid >= 200000 or os.geteuid() != 0


def test_saving_and_opening_notebooks_works_and_downloading_does_not(alice: Any) -> None:
    contents = f"{alice.here}/api/contents"
    made = alice.call("POST", contents, json={"type": "notebook"})
    assert made.status_code == 201
    name = made.json()["name"]
    notebook = alice.call("GET", f"{contents}/{name}", params={"content": "1"}).json()
    assert alice.call("PUT", f"{contents}/{name}", json=notebook).status_code == 200
    table = {"type": "file", "format": "text", "content": "a,b\n1,2\n"}
    assert alice.call("PUT", f"{contents}/table.csv", json=table).status_code == 201
    for path in (
        "/files/table.csv",
        "/api/contents/table.csv",
        f"/nbconvert/html/{name}",
        "/view/table.csv",
        "/metrics",
    ):
        answer = alice.call("GET", f"{alice.here}{path}")
        assert answer.status_code == 403, path
        assert "release" in answer.json()["message"] or "not part" in answer.json()["message"]
    listed = alice.call("GET", contents).json()["content"]
    assert {"table.csv", name} <= {entry["name"] for entry in listed}


def test_the_page_carries_the_strict_policy(alice: Any) -> None:
    policy = alice.get(f"{alice.here}/lab").headers["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in policy
    assert "sandbox allow-scripts" in policy


def test_another_person_sees_a_sentence_instead_of_the_workspace(alice: Any, bob: Any) -> None:
    answer = bob.get(f"{alice.here}/lab")
    assert answer.status_code == 403
    assert "person it was started for" in answer.text
    bob.get("/hub/home")
    assert bob.call("POST", f"{alice.here}/api/kernels", json={"name": "python3"}).status_code == 403


def test_a_stolen_pass_page_does_not_give_a_foreign_pass(bob: Any, alice: Any) -> None:
    for language, words in (("en", "only for the person"), ("fr", "que pour la personne")):
        asked = {"Accept": "text/html", "Accept-Language": language}
        answer = bob.client.get(bob.stand.hub_url(f"/hub/workspace-pass?next={alice.here}/lab"), headers=asked)
        assert answer.status_code == 403
        assert words in answer.text


def test_refusals_are_shown_in_the_portals_words(stand: Any, bob: Any) -> None:
    stand.portal.refusals["closed-one"] = ["The project closed-one is closed. Ask your admin."]
    answer = bob.get("/hub/spawn/bob/closed-one")
    assert answer.status_code == 403
    assert "The project closed-one is closed. Ask your admin." in answer.text
    assert not (stand.settings.workspaces_dir / "closed-one").exists()


def test_a_workspace_without_a_project_is_refused(bob: Any) -> None:
    answer = bob.get("/hub/spawn/bob")
    assert answer.status_code == 400
    assert "belongs to a project" in answer.text


def test_figures_for_operators_are_not_for_browsers(stand: Any, alice: Any) -> None:
    """The hub's own metrics, and ours: neither by the edge nor from a kernel."""
    with stand.anonymous() as nobody:
        assert nobody.get(stand.hub_url("/hub/metrics")).status_code == 403
    assert alice.get("/hub/metrics").status_code == 403
    assert alice.call("GET", f"{alice.here}/metrics").status_code == 403
    assert alice.run_cell(alice.here, f"import os\nprint(os.path.exists('{stand.settings.run_dir}'))") == "False\n"


def test_added_packages_are_there_for_kernels_only(stand: Any) -> None:
    """What a project has added imports in a kernel, cannot be written there, and is not in the server's sandbox."""
    gina = stand.browser("gina")
    folder = stand.settings.projects_dir / "added" / "packages" / "p7" / "site-packages"
    stand.portal.packages["added"] = "p7"
    gina.get("/hub/spawn/gina/added")
    hubs_log, said = stand.root / "enclave.workspaces.serve.log", "Expected the packages of the project"
    wait_for(lambda: said in hubs_log.read_text(), "the hub to refuse a start without them")
    page = "/hub/spawn-pending/gina/added"
    wait_for(lambda: "packages that were added" in gina.get(page).text, "the page to say so")
    folder.mkdir(parents=True)
    (folder / "toy.py").write_text("VALUE = 41\n")
    (folder / "toy.py").chmod(0o666)  # so that it is the mount which refuses
    here = gina.start_workspace("added")
    code = "import sys, toy, pandas\nprint(toy.VALUE, toy.__file__, pandas.__file__.startswith('/opt/image'))"
    assert gina.run_cell(here, code) == "41 /opt/project/toy.py True\n"
    assert "Read-only file system" in gina.run_cell(here, "open('/opt/project/toy.py', 'a')")
    state = json.loads(launch.Places(stand.root, WorkspaceId(workspace_of(stand, "gina/added"))).state.read_text())
    server_alone = "the kernels to go; the server has no such mount"
    wait_for(lambda: is_mounted_nowhere("/opt/project", inside(state["pid"])), server_alone)


def inside(host: int) -> list[int]:
    """The processes in the sandboxes of a host."""
    outer = children(host)
    first = [pid for one in outer for pid in children(one)]
    return [pid for one in first for pid in children(one)]


def test_an_auditor_is_not_let_in(stand: Any) -> None:
    stand.portal.roles["olga"] = ["auditor"]
    for language, words, page in (("en", "for researchers", "Back to the"), ("fr", "chercheuses et", "Retour au")):
        answer = stand.browser("olga").get("/hub/home", headers={"Accept-Language": language})
        assert answer.status_code == 403
        assert words in answer.text and page in answer.text

"""The exposure meter of the real edge, with the real audit daemon and an approved permit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from enclave_test_stand import REPOSITORY, wait_for  # type: ignore[import-not-found]
from kernel_messages import FORMS, frame, message, protocol_of  # type: ignore[import-not-found]
from stand_in_workspace import StandInWorkspace  # type: ignore[import-not-found]

from audit.reader import LogUnreadable, read_entries
from enclave.access import AccessFiles
from enclave.domain.ids import PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.edge.kernel_frames import parse_frame
from enclave.edge.shown import SENTENCES
from enclave.processes import accepts_connections

PROJECT = ProjectId("gibleed-nsaids")
BUDGET = 100_000
PERMIT = (REPOSITORY / "examples" / "permits" / "gibleed.yaml").read_text()
PERSON = PersonId("u-0123456789ab")


def approve(stand: Any, permit: str, *, approved: str | None = None) -> None:
    """Write a permit, and the project's record that names the approved one's hash."""
    access = AccessFiles(stand.settings)
    access.write_people([Person(PERSON, Username("alice"), frozenset({Role.RESEARCHER}))])
    sha256 = hashlib.sha256((approved or permit).encode()).hexdigest()
    access.write_project(
        ProjectRecord(PROJECT, "Test", ProjectState.ACTIVE, None, sha256, date(2999, 1, 1), frozenset({PERSON}))
    )
    access.permit_file(PROJECT).write_text(permit)


@pytest.fixture(scope="module")
def workspace(edge: Any) -> Iterator[Any]:
    settings = edge.settings
    daemon = ["--socket", str(settings.audit_socket), "--log", str(settings.log_dir)]
    edge.start("audit.daemon", *daemon, "--state", str(settings.audit_dir), "--origin", settings.log_origin)
    wait_for(lambda: accepts_connections(settings.audit_socket), "the audit daemon")
    approve(edge, PERMIT.replace("idle_minutes: 120", f"idle_minutes: 120, shown_bytes_per_day: {BUDGET}"))
    with StandInWorkspace(edge, "alice", PROJECT) as workspace:
        yield workspace


def exposure(workspace: Any) -> dict[str, Any]:
    answer = workspace.call("GET", "/enclave/exposure")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def events(stand: Any, kind: str) -> list[dict[str, Any]]:
    try:
        return [entry.leaf for entry in read_entries(stand.settings.log_dir) if entry.leaf["type"] == kind]
    except LogUnreadable:
        return []


def output(size: int, form: str = "text") -> str | bytes:
    return frame(message("stream", {"name": "stdout", "text": "x" * size + "\n"}), form)  # type: ignore[no-any-return]


def test_the_gauge_is_the_edges_own_and_for_the_researcher_alone(workspace: Any) -> None:
    found = exposure(workspace)
    assert (found["budget_bytes"], found["budget_rows"]) == (BUDGET, 2_000_000)
    assert (found["state"], found["archived"]) == ("ok", False)
    assert workspace.call("GET", "/enclave/exposure", who="mallory").status_code == 403
    assert not any(path.endswith("exposure") for path, _ in workspace.seen)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_message_is_counted(workspace: Any, form: str) -> None:
    before = exposure(workspace)
    workspace.frames = [output(5000, form)]
    workspace.ask_kernel(1, v1=protocol_of(form) is not None)
    after = exposure(workspace)
    assert after["shown_bytes"] - before["shown_bytes"] == len(workspace.frames[0])
    assert after["shown_rows"] - before["shown_rows"] == 1


def test_a_notebook_is_counted_with_what_it_holds(workspace: Any) -> None:
    cells = [{"cell_type": "code", "source": "1", "outputs": [{"data": {"text/plain": "1\n2\n3"}}]}]
    body = json.dumps({"type": "notebook", "path": "a.ipynb", "content": {"cells": cells}}).encode()
    workspace.pages["/api/contents/a.ipynb"] = ("application/json", body)
    before = exposure(workspace)
    assert workspace.call("GET", "/api/contents/a.ipynb").status_code == 200
    after = exposure(workspace)
    assert after["shown_bytes"] - before["shown_bytes"] == len(body)
    assert after["shown_rows"] - before["shown_rows"] == 3


def test_a_permit_that_was_not_approved_does_not_widen_the_budget(workspace: Any, edge: Any) -> None:
    narrow = PERMIT.replace("idle_minutes: 120", f"idle_minutes: 120, shown_bytes_per_day: {BUDGET}")
    wide = PERMIT.replace("idle_minutes: 120", "idle_minutes: 120, shown_bytes_per_day: 999000000000")
    approve(edge, wide, approved=wide + "# another")
    assert exposure(workspace)["budget_bytes"] == 20_000_000
    approve(edge, narrow)
    assert exposure(workspace)["budget_bytes"] == BUDGET


def test_above_the_limit_output_is_a_sentence_and_the_notebook_works_on(workspace: Any, edge: Any) -> None:
    status = frame(message("status", {"execution_state": "idle"}), "text")
    workspace.frames = [output(BUDGET * 2), output(10), status]
    said, idle = workspace.ask_kernel(2)
    read = parse_frame(said, None)
    assert read is not None and read.content["text"].strip() == SENTENCES["stopped"]["en"]
    assert idle == status
    assert exposure(workspace)["state"] == "stopped"
    assert workspace.call("PUT", "/api/contents/b.ipynb", json={}).status_code == 404, "saving reaches the server"
    wait_for(lambda: events(edge, "workspace:exposure-stopped"), "the record of the stop", 60)
    (stop,) = events(edge, "workspace:exposure-stopped")
    assert (stop["actor"], stop["project"], stop["decision"]) == (PERSON, PROJECT, "deny")


def test_a_killed_edge_still_knows_and_an_ended_one_has_recorded_all(workspace: Any, edge: Any) -> None:
    before = exposure(workspace)
    file = edge.settings.exposure_dir / PROJECT / "alice.json"
    wait_for(lambda: file.exists() and json.loads(file.read_text())["worst"] == "stopped", "the meter's file")
    edge.edge.kill()
    edge.edge.wait(60)
    edge.edge = edge.start("enclave.edge.serve")
    wait_for(lambda: edge.answers(edge.settings.portal_url), "the restarted edge")
    assert exposure(workspace)["state"] == "stopped"
    edge.stop(edge.edge)
    wait_for(lambda: events(edge, "screen:shown"), "the record of what was shown", 60)
    shown = events(edge, "screen:shown")
    assert sum(event["counts"]["bytes"] for event in shown) == before["shown_bytes"]
    assert {event["actor"] for event in shown} == {PERSON}
    assert all(len(event["data"]["digest"]) == 64 for event in shown)
    edge.edge = edge.start("enclave.edge.serve")
    wait_for(lambda: edge.answers(edge.settings.portal_url), "the edge again")

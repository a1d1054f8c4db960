"""A permit that orders an archive: the real edge keeps what it shows, the audit log proves it, auditors read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from enclave_test_stand import REPOSITORY, wait_for  # type: ignore[import-not-found]
from kernel_messages import FORMS, frame, message, protocol_of  # type: ignore[import-not-found]
from stand_in_workspace import StandInWorkspace  # type: ignore[import-not-found]
from typer.testing import CliRunner, Result

from audit.reader import LogUnreadable, read_entries
from enclave.access import AccessFiles
from enclave.cli.main import command_line
from enclave.domain.decisions import RefusedError
from enclave.domain.ids import PersonId, ProjectId, Username
from enclave.domain.people import Person, Role
from enclave.domain.projects import ProjectRecord, ProjectState
from enclave.edge.kernel_frames import parse_frame
from enclave.edge.shown import SENTENCES
from enclave.processes import accepts_connections

PROJECT = ProjectId("gibleed-nsaids")
PERMIT = (REPOSITORY / "examples" / "permits" / "gibleed.yaml").read_text()
ORDERED = PERMIT.replace("idle_minutes: 120", "idle_minutes: 120, archive_shown: true, archive_days: 400")
ALICE = Person(PersonId("u-0123456789ab"), Username("alice"), frozenset({Role.RESEARCHER}))
OLGA = Person(PersonId("u-0123456789cd"), Username("olga"), frozenset({Role.AUDITOR}))
STATUS = frame(message("status", {"execution_state": "idle"}), "text")


@pytest.fixture(scope="module")
def workspace(edge: Any) -> Iterator[Any]:
    settings = edge.settings
    daemon = ["--socket", str(settings.audit_socket), "--log", str(settings.log_dir)]
    edge.start("audit.daemon", *daemon, "--state", str(settings.audit_dir), "--origin", settings.log_origin)
    wait_for(lambda: accepts_connections(settings.audit_socket), "the audit daemon")
    access = AccessFiles(settings)
    access.write_people([ALICE, OLGA])
    sha256 = hashlib.sha256(ORDERED.encode()).hexdigest()
    members = frozenset({ALICE.id})
    access.write_project(ProjectRecord(PROJECT, "Test", ProjectState.ACTIVE, None, sha256, date(2999, 1, 1), members))
    access.permit_file(PROJECT).write_text(ORDERED)
    with StandInWorkspace(edge, "alice", PROJECT) as workspace:
        yield workspace


@pytest.fixture
def enclave(edge: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line on this enclave."""
    monkeypatch.setenv("ENCLAVE_HOME", str(edge.root))
    monkeypatch.setenv("ENCLAVE_SHOWN_PASSPHRASE", "correct horse")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(command_line("shown"), ["shown", *arguments])

    return run


def leaves(stand: Any, kind: str) -> list[dict[str, Any]]:
    try:
        return [entry.leaf for entry in read_entries(stand.settings.log_dir) if entry.leaf["type"] == kind]
    except LogUnreadable:
        return []


def output(text: str, form: str = "text") -> str | bytes:
    return frame(message("stream", {"name": "stdout", "text": text}, parent=text), form)  # type: ignore[no-any-return]


def notebook(text: str) -> bytes:
    html = f"<b>{text}</b><script>x()</script>"
    cells = [{"cell_type": "code", "source": "1", "outputs": [{"data": {"text/html": html, "text/plain": text}}]}]
    return json.dumps({"type": "notebook", "path": "a.ipynb", "content": {"cells": cells}}).encode()


def archive(edge: Any) -> Path:
    day = datetime.now(UTC).date().isoformat()
    path: Path = edge.settings.shown_dir / PROJECT / "alice" / f"{day}.jsonl"
    return path


def test_what_cannot_be_kept_is_not_shown(workspace: Any) -> None:
    """No key yet."""
    workspace.frames = [output("secret one"), STATUS]
    said, idle = workspace.ask_kernel(2)
    read = parse_frame(said, None)
    assert read is not None and read.content["text"].strip() == SENTENCES["not-archived"]["en"]
    assert idle == STATUS, "the notebook works on"
    workspace.pages["/api/contents/a.ipynb"] = ("application/json", notebook("secret two"))
    refused = workspace.call("GET", "/api/contents/a.ipynb")
    assert refused.status_code == 403 and "secret" not in refused.text
    told = workspace.call("GET", "/enclave/exposure").json()
    assert (told["archived"], told["archive_days"]) == (True, 400)


def test_everything_shown_is_kept_and_a_killed_edge_loses_none_of_it(
    workspace: Any, edge: Any, enclave: Any, tmp_path: Path
) -> None:
    private = tmp_path / "archive.pem"
    made = enclave("key", str(private))
    assert made.exit_code == 0, made.output
    assert b"ENCRYPTED" in private.read_bytes()
    assert isinstance(enclave("key", str(tmp_path / "second.pem")).exception, RefusedError), "never replaced unasked"
    for form in FORMS:
        workspace.frames = [output(f"secret in {form}\n", form), STATUS if form == "text" else output("-", form)]
        workspace.ask_kernel(2, v1=protocol_of(form) is not None)
    assert workspace.call("GET", "/api/contents/a.ipynb").status_code == 200
    edge.edge.kill()
    edge.edge.wait(60)
    with archive(edge).open("ab") as torn:
        torn.write(b'{"n":9,"at":"torn by the k')
    edge.edge = edge.start("enclave.edge.serve")
    wait_for(lambda: edge.answers(edge.settings.portal_url), "the restarted edge")
    workspace.frames = [output("secret after the kill\n")]
    workspace.ask_kernel(1)
    edge.stop(edge.edge)
    wait_for(lambda: any("archive" in leaf["data"] for leaf in leaves(edge, "screen:shown")), "the commitment")
    edge.edge = edge.start("enclave.edge.serve")
    wait_for(lambda: edge.answers(edge.settings.portal_url), "the edge again")
    assert b"secret" not in archive(edge).read_bytes()
    day = archive(edge).stem
    asked = ("read", PROJECT, "alice", day, "--key", str(private), "--reason", "complaint 2026-17", "--by")
    read = enclave(*asked, "olga")
    for text in ("secret in text", "secret in v1-binary", "secret in old-binary", "[opened] a.ipynb", "after the kill"):
        assert text in read.output, read.output
    assert "torn when the edge was killed" in read.output and "<script>" not in read.output
    assert isinstance(enclave(*asked, "alice").exception, RefusedError)
    wait_for(lambda: leaves(edge, "shown-archive:refused"), "both records, in the order they were made")
    (seen,) = leaves(edge, "shown-archive:read")
    assert (seen["actor"], seen["subject"], seen["data"]["day"]) == (OLGA.id, ALICE.id, day)
    (refused,) = leaves(edge, "shown-archive:refused")
    assert (refused["actor"], refused["decision"]) == (ALICE.id, "deny")
    assert f"{PROJECT}  alice" in enclave("list", "--by", "olga", "--reason", "yearly review").output


def test_what_lies_there_is_what_was_recorded(workspace: Any, edge: Any, enclave: Any) -> None:
    path = archive(edge)
    whole = path.read_bytes()
    assert enclave("verify", PROJECT, "alice", path.stem).exit_code == 0
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[1:]))
    assert enclave("verify", PROJECT, "alice", path.stem).exit_code == 1
    path.unlink()
    assert enclave("verify", PROJECT, "alice", path.stem).exit_code == 1
    path.write_bytes(whole)
    assert enclave("verify", PROJECT, "alice", path.stem).exit_code == 0

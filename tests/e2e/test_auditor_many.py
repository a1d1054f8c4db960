"""The auditor and a hundred thousand records: finds one query, looks at everything around it, proves it to a stranger.

The records are written to the running enclave's log by its own client, from several writers at once, as a busy month
would leave them; the one query that is looked for is among them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from audit.client import AuditClient, PendingRecord
from audit.event import AuditEvent, Receipt
from enclave.settings import REPOSITORY

RECORDS = 100_000
WRITERS = 16
AT_A_TIME = 25
PATIENCE = 60.0
NEEDLE_TEXT = "SELECT count(*) FROM death WHERE cause_concept_id = 4306655"
NEEDLE_TEMPLATE = "d1" * 32
_TABLES = ("person", "condition_occurrence", "drug_exposure", "measurement", "visit_occurrence")


def _person_id(enclave: Any, username: str) -> str:
    people = json.loads((Path(enclave.info["home"]) / "access" / "people.json").read_text())
    return next(person for person, row in people.items() if row["username"] == username)


class _Writer:
    """One of the gateway's processes, and what its people ask."""

    def __init__(self, enclave: Any, number: int) -> None:
        socket = Path(enclave.info["home"]) / "run" / "audit" / "audit.sock"
        self._draw, self._client = random.Random(number), AuditClient(socket, f"gateway-{number}")
        self._numbers = (f"q-{number:04x}{turn:012x}" for turn in itertools.count())
        person = _person_id(enclave, "amelie" if number % 2 else "karim")
        self._common: dict[str, Any] = {"actor": person, "project": enclave.info["project"]}

    def begin(self) -> tuple[str, PendingRecord]:
        """A query's intent on its way, and the query's number."""
        draw, request = self._draw, next(self._numbers)
        tables = sorted(draw.sample(_TABLES, draw.randint(1, 2)))
        data = {"template_sha256": f"{draw.randrange(400):064x}", "tables": tables, "verb": "select"}
        data["dataset"] = "gibleed@2026-1"
        event = AuditEvent("query:intent", data=data, decision="allow", request_id=request, **self._common)
        return request, self._client.send(event, timeout=PATIENCE)

    def end(self, request: str) -> PendingRecord:
        """Its outcome on its way."""
        draw = self._draw
        counts = {"rows": draw.randint(1, 500), "bytes": draw.randint(64, 90_000), "duration_ms": draw.randint(1, 900)}
        event = AuditEvent("query:outcome", counts=counts, data={"status": "ok"}, request_id=request, **self._common)
        return self._client.send(event, timeout=PATIENCE)

    def close(self) -> None:
        self._client.close()


def _write(enclave: Any, numbers: range) -> None:
    """Half of all records; each writer has many queries at a time, and no outcome goes before its intent."""
    writers = [_Writer(enclave, number) for number in numbers]
    for _ in range(RECORDS // WRITERS // 2 // AT_A_TIME):
        begun = [(writer, *writer.begin()) for writer in writers for _ in range(AT_A_TIME)]
        for _, _, intent in begun:
            intent.wait()
        for outcome in [writer.end(request) for writer, request, _ in begun]:
            outcome.wait()
    for writer in writers:
        writer.close()


@pytest.fixture(scope="module")
def needle(enclave: Any) -> Receipt:
    """The one query, in the middle of the others."""
    project = enclave.info["project"]
    _write(enclave, range(WRITERS // 2))
    client = AuditClient(Path(enclave.info["home"]) / "run" / "audit" / "audit.sock", "gateway-needle")
    person = _person_id(enclave, "karim")
    found = client.record(
        AuditEvent(
            "query:intent",
            person,
            project=project,
            request_id="q-needle0000000001",
            decision="allow",
            data={"template_sha256": NEEDLE_TEMPLATE, "tables": ["death"], "dataset": "gibleed@2026-1"},
            payload={"sql": NEEDLE_TEXT},
        )
    )
    outcome = {"rows": 1, "bytes": 72, "duration_ms": 14, "columns": 1, "min_cell": 31}
    ended = AuditEvent(
        "query:outcome",
        person,
        project=project,
        request_id="q-needle0000000001",
        counts=outcome,
        data={"status": "ok"},
    )
    client.record(ended)
    _write(enclave, range(WRITERS // 2, WRITERS))
    client.wait_published(found.index, Path(enclave.info["log_dir"]), PATIENCE)
    client.close()
    return found


@pytest.mark.timeout(420)
def test_one_query_among_a_hundred_thousand_records(visit: Any, enclave: Any, needle: Receipt, tmp_path: Path) -> None:
    visitor = visit("aurore")
    page = visitor.page
    visitor.log_in()
    visitor.portal("/audit/")
    visitor.shoot("auditor-log")
    page.fill("input[name=table]", "death")
    page.select_option("select[name=type]", "query:intent")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert "table=death" in page.url
    visitor.shoot("auditor-queries")

    page.get_by_role("link", name="whole query").click()
    expect(page.locator("h1")).to_contain_text("from question to answer")
    visitor.shoot("auditor-query")
    page.locator("tbody td.number a").first.click()
    expect(page.get_by_text("Proof verified")).to_be_visible()
    page.get_by_role("button", name="Decrypt and show").click()
    expect(page.locator("pre.code").first).to_contain_text("FROM death")
    visitor.shoot("auditor-record")
    page.get_by_role("link", name="Prove this").click()
    visitor.shoot("auditor-prove")
    saved = [_save(page, name, tmp_path) for name in (".tlog-proof", ".json", "check-proof.sh")]
    proven = _check(saved, enclave.info["verifier_key"])
    assert proven.returncode == 0, proven.stdout + proven.stderr
    assert f"PROVEN: record {needle.index} stands" in proven.stdout
    saved[1].write_bytes(saved[1].read_bytes().replace(b'"death"', b'"birth"'))
    assert _check(saved, enclave.info["verifier_key"]).returncode == 1


def _save(page: Any, name: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator("a.button").filter(has_text=name).click()
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    return target


def _check(saved: list[Path], key: str) -> subprocess.CompletedProcess[str]:
    proof, record, script = saved
    assert script.read_bytes() == (REPOSITORY / "docs/examples/check-proof.sh").read_bytes()
    command = ["bash", str(script), str(proof), str(record), key]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_a_page_for_each_person_project_and_dataset(visit: Any, enclave: Any, needle: Receipt) -> None:
    visitor = visit("aurore")
    visitor.log_in()
    visitor.portal(f"/audit/person/{_person_id(enclave, 'karim')}/")
    assert int(visitor.page.locator(".tile-number").first.inner_text().replace(",", "")) > RECORDS // 2
    visitor.shoot("auditor-person")
    visitor.portal(f"/audit/project/{enclave.info['project']}/")
    expect(visitor.page.get_by_role("heading", name="Tables")).to_be_visible()
    visitor.shoot("auditor-project")
    visitor.portal("/audit/dataset/gibleed/")
    expect(visitor.page.locator("h1")).to_have_text("gibleed")


def test_a_test_query_is_ordered_and_its_record_comes(visit: Any, enclave: Any, needle: Receipt) -> None:
    visitor = visit("aurore")
    visitor.log_in()
    visitor.portal("/audit/canaries/")
    visitor.page.select_option("select[name=within]", "now")
    visitor.page.get_by_role("button", name="Order the test query").click()
    for _ in range(40):
        visitor.portal("/audit/canaries/")
        if visitor.page.locator("[data-state=found]").count():
            break
        visitor.page.wait_for_timeout(500)
    expect(visitor.page.locator("[data-state=found]").first).to_be_visible()
    visitor.shoot("auditor-canaries")


@pytest.mark.timeout(300)
def test_alerts_are_raised_explained_and_muted_with_a_reason(visit: Any, enclave: Any, needle: Receipt) -> None:
    visitor = visit("aurore")
    page = visitor.page
    visitor.log_in()
    visitor.portal("/alerts/rules/")
    expect(page.locator("section.card").first).to_be_visible()
    visitor.shoot("auditor-rules", full_page=False)
    for _ in range(90):
        visitor.portal("/alerts/")
        if page.locator("tbody tr").count():
            break
        page.wait_for_timeout(1000)
    visitor.shoot("auditor-alerts", full_page=False)
    page.locator("tbody tr td a").first.click()
    expect(page.get_by_role("heading", name="What it means")).to_be_visible()
    visitor.shoot("auditor-alert")
    page.get_by_role("button", name="Mute, on record").click()
    expect(page.get_by_role("button", name="Mute, on record")).to_be_visible()
    page.select_option("select[name=reason]", "known-analysis")
    page.fill("textarea[name=text]", "The monthly load test of the gateway; agreed with the steward.")
    page.get_by_role("button", name="Mute, on record").click()
    expect(page.get_by_text("The reason is on record.")).to_be_visible()
    expect(page.locator("[data-state=muted-for-ever]")).to_be_visible()


@pytest.mark.timeout(300)
def test_the_whole_log_is_verified_with_its_witness(visit: Any, needle: Receipt) -> None:
    visitor = visit("aurore")
    visitor.log_in()
    visitor.portal("/audit/verify")
    expect(visitor.page.get_by_text("none changed, none missing")).to_be_visible()
    visitor.shoot("auditor-verify")

"""Usage: the admin's and a project's page, the CSV, and what Prometheus gets, from real ledgers and records."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from portal_house import end, page_words, permit_text, running_house, wait_until
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from enclave.domain.events import EventType
from enclave.domain.ids import PersonId, ProjectId, WorkspaceId
from enclave.domain.people import Role
from enclave.domain.usage import Computed, StorageKind
from enclave.metering.ledger import place_ledger
from enclave.metering.storage import StorageLedger
from enclave.portal.actions import projects
from enclave.portal.models import Project, User
from enclave.portal.record import audit_client, record
from enclave.settings import REPOSITORY

GB = 10**9
MONTH = "2026-09"
DAY = date(2026, 9, 10)
PRICES = "cpu-hour = 0.05\nmemory-gb-hour = 0.01\nstorage-gb-month = 0.125\n"


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prices") / "prices.toml"


@pytest.fixture(scope="module")
def house(prices: Path) -> Iterator[Any]:
    """A portal with prices, two projects, what they used in September, and what they asked today."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ENCLAVE_USAGE_PRICES", str(prices))
    try:
        with running_house() as running:
            for name, title in (("bleeding", "=HYPERLINK(0)"), ("quiet", "Quiet study")):
                projects.submit_application(user("amelie"), permit_text(name), title)
                projects.approve_project(user("sofia"), name, Role.DATA_STEWARD)
                projects.approve_project(user("diane"), name, Role.DATA_PROTECTION_OFFICER)
                projects.provision_project(user("ines"), name)
                projects.activate_project(name, "v1")
            use(running.settings.metering_dir, ProjectId("bleeding"))
            ask("bleeding", rows=1500, size=9000, workspace="w-0123456789ab")
            ask("bleeding", rows=500, size=1000, workspace="w-0123456789ab")
            ask("bleeding", rows=1, size=1, workspace="canary")
            fence = record(EventType.QUERY_INTENT, user("amelie"), project="quiet", request_id="a" * 32)
            audit_client().wait_published(fence.index, running.settings.log_dir)
            yield running
    finally:
        patch.undo()


def user(name: str) -> User:
    return User.objects.get(username=name)


def use(folder: Path, project: ProjectId) -> None:
    """20 CPU-hours, 100 GB-hours; 30 GB for ten days of a month of thirty."""
    ledger = place_ledger(folder, project, WorkspaceId("w-0123456789ab"), DAY)
    ledger.open(PersonId("u-0123456789ab"))
    ledger.add(DAY, 20 * 3600 * GB, Computed(0, 100 * GB * 3600, 7 * GB, 7200))
    storage = StorageLedger(folder, project)
    began = datetime(2026, 9, 10, tzinfo=UTC)
    storage.add({StorageKind.HOME: 30 * GB}, began)
    storage.add({StorageKind.HOME: 0}, began + timedelta(days=10))


def ask(project: str, *, rows: int, size: int, workspace: str) -> None:
    counts = {"rows": rows, "bytes": size, "duration_ms": 250}
    record(EventType.QUERY_OUTCOME, user("amelie"), project=project, workspace=workspace, counts=counts)


def test_the_admin_sees_what_all_projects_used_and_what_it_costs(house: Any, prices: Path) -> None:
    prices.write_text(PRICES)
    page = house.logged_in("ines").words(f"/usage/?month={MONTH}")
    # 20 x 0.05 + 100 x 0.01 + 10 x 0.125
    for figure in ("What each project used in September 2026", "20.00", "100.00", "7.00", "10.00", "€3.25"):
        assert figure in page
    assert "Queries, thousands no price set" in page
    assert "Quiet study" not in page, "it used nothing in that month"
    assert "so far" not in page
    now = house.logged_in("ines").words("/usage/")
    assert "so far" in now and "Quiet study" not in now
    viewed = house.events(EventType.USAGE_VIEWED)
    assert (viewed[0]["actor"], viewed[0]["subject"]) == (user("ines").person_id, f"usage:{MONTH}")


def test_a_csv_for_the_accounts_holds_no_formula_and_adds_up(house: Any, prices: Path) -> None:
    prices.write_text(PRICES)
    answer = house.logged_in("ines").get(f"/usage/month.csv?month={MONTH}")
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert answer.headers["content-disposition"] == f'attachment; filename="usage-{MONTH}.csv"'
    assert row["title"] == "'=HYPERLINK(0)"
    shown = ("project", "cpu_hours", "storage_home_gb_months", "queries", "price_cpu_hour", "cost_thousand_queries")
    assert [row[name] for name in shown] == ["bleeding", "20.000000", "10.000000", "0", "0.05", ""]
    assert (row["cost"], row["currency"], row["files_unreadable"]) == ("3.25", "EUR", "0")


@pytest.mark.parametrize(("text", "said"), [("cpu_hour = 1", "found `cpu_hour`"), ("", "no price set")])
def test_without_prices_use_is_shown_without_costs(house: Any, prices: Path, text: str, said: str) -> None:
    prices.write_text(text)
    page = house.logged_in("ines").words(f"/usage/?month={MONTH}")
    assert said in page and "20.00" in page and "€" not in page


def test_a_project_is_seen_by_its_members_and_those_who_oversee(house: Any, prices: Path) -> None:
    prices.write_text(PRICES)
    for name in ("amelie", "sofia", "ines"):
        page = house.logged_in(name).words("/projects/bleeding/usage/")
        assert "2,000" in page, "rows of the two queries, without the auditor's"
    september = house.logged_in("amelie").words(f"/projects/bleeding/usage/?month={MONTH}")
    assert "Total of what has a price €3.25" in september
    assert "Homes of the members 0.00 10.00" in september
    assert "10 Sep 2026 20.00 100.00 7.00 30.00" in september
    french = house.logged_in("amelie").get(
        f"/projects/bleeding/usage/?month={MONTH}", headers={"Accept-Language": "fr"}
    )
    assert "3,25 €" in page_words(french).replace("\u202f", " ").replace("\xa0", " ")
    assert "Usage and costs" in house.logged_in("amelie").words("/projects/bleeding/")


def test_who_may_not_see_it_does_not(house: Any) -> None:
    karim = house.logged_in("karim")
    Project.objects.get(pk="quiet").memberships.filter(user__username="karim").delete()
    assert karim.get("/projects/quiet/usage/").status_code == 403
    for path in ("/usage/", "/usage/month.csv"):
        assert karim.get(path).status_code == 403
        assert house.logged_in("sofia").get(path).status_code == 403
        assert house.browser().get(path).headers["location"].startswith("/accounts/login/")
    for month in ("2026-13", "x", "2026-9"):
        assert house.logged_in("ines").get(f"/usage/?month={month}").status_code == 404


def test_a_file_that_cannot_be_read_is_said(house: Any) -> None:
    broken = place_ledger(house.settings.metering_dir, ProjectId("quiet"), WorkspaceId("w-1"), DAY)
    broken.path.parent.mkdir(parents=True, exist_ok=True)
    broken.path.write_text("{")
    assert "One file of figures cannot be read" in house.logged_in("ines").words(f"/usage/?month={MONTH}")
    broken.path.unlink()


@pytest.fixture(scope="module")
def scraped(house: Any) -> dict[str, list[Sample]]:
    """A real scrape of the real process, parsed by Prometheus's own parser; a home with a file to measure."""
    home = house.settings.workspaces_dir / "bleeding" / "amelie"
    home.mkdir(parents=True)
    (home / "file").write_bytes(os.urandom(3 * 10**6))
    environment = {**os.environ, "ENCLAVE_HOME": str(house.settings.root), "ENCLAVE_METRICS_TITLES": "true"}
    command = [sys.executable, "-m", "enclave.metering.serve"]
    with (house.settings.root / "metering.out").open("wb") as out:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=out, stderr=out)
    socket = house.settings.run_dir / "metrics.sock"
    ledger = StorageLedger(house.settings.metering_dir, ProjectId("bleeding"))
    try:
        wait_until(lambda: process.poll() is not None or (socket.exists() and ledger.read().now[StorageKind.HOME]), 60)
        assert process.poll() is None, (house.settings.root / "metering.out").read_text()
        assert socket.stat().st_mode & 0o777 == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=60) as prometheus:
            answer = prometheus.get("http://enclave/metrics")
            assert prometheus.get("http://enclave/").status_code == 404
    finally:
        end(process)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "amelie" not in answer.text and user("amelie").person_id not in answer.text
    families = text_string_to_metric_families(answer.text)
    return {family.name: family.samples for family in families}


def test_prometheus_gets_what_the_page_shows(scraped: dict[str, list[Sample]]) -> None:
    def of(name: str, **labels: str) -> float:
        (found,) = [s.value for s in scraped[name] if s.labels == {"project": "bleeding", **labels}]
        return found

    assert of("enclave_workspace_cpu_seconds") == 20 * 3600
    assert of("enclave_workspace_memory_byte_seconds") == 100 * GB * 3600
    assert of("enclave_queries") == 2
    assert (of("enclave_query_rows"), of("enclave_query_seconds")) == (2000, 0.5)
    assert of("enclave_storage_bytes", kind="home") >= 3 * 10**6
    assert of("enclave_storage_byte_seconds", kind="home") >= 30 * GB * 864_000
    assert of("enclave_project_title", title="=HYPERLINK(0)") == 1


def test_prometheus_gets_the_enclaves_health(scraped: dict[str, list[Sample]]) -> None:
    def one(name: str) -> float:
        (found,) = scraped[name]
        return found.value

    assert (one("enclave_audit_up"), one("enclave_open_intents"), one("enclave_workspaces_running")) == (1, 1, 0)
    assert one("enclave_audit_checkpoint_age_seconds") >= 0
    assert one("enclave_audit_log_records") > 10
    assert {s.labels["folder"] for s in scraped["enclave_disk_free_bytes"]} >= {"home", "log", "projects"}
    # no gateway and no supervisor in this house: those parts are said to be down, and the rest is there
    down = {s.labels["part"] for s in scraped["enclave_metrics_part_up"] if s.value == 0}
    assert down == {"gateway", "services"}

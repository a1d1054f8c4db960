"""The auditor: finds a query by person and time, sees its text and its proof verified; strangers verify the log."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from enclave_test_live_log import copy_of_live_log
from playwright.sync_api import expect


def test_auditor(visit: Any) -> None:
    visitor = visit("aurore")
    page = visitor.page
    visitor.log_in()
    visitor.shoot("auditor-home")
    visitor.portal("/audit/")
    visitor.shoot("auditor-log")
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    visitor.portal(f"/audit/?person=amelie&type=query%3Aintent&text=%22workspace%22&since={hour_ago}")
    expect(page.locator("tbody tr").first).to_contain_text("query:intent")
    visitor.shoot("auditor-queries")
    page.locator("tbody tr a").first.click()
    expect(page.get_by_text("Proof verified")).to_be_visible()
    page.get_by_role("button", name="Decrypt and show").click()
    expect(page.locator("pre.code").filter(has_text=re.compile("SELECT|SHOW")).first).to_be_visible()
    visitor.shoot("auditor-record")
    visitor.portal("/audit/verify")
    visitor.shoot("auditor-verify")


def test_a_researcher_sees_no_log(visit: Any) -> None:
    visitor = visit("amelie")
    visitor.log_in()
    visitor.portal("/audit/")
    expect(visitor.page.locator("h1")).to_contain_text("not open to you")
    visitor.shoot("refused")


def test_the_log_verifies_and_a_flipped_byte_is_found(enclave: Any, tmp_path: Path) -> None:
    copy = tmp_path / "log"
    copy_of_live_log(Path(enclave.info["log_dir"]), copy)
    key = enclave.info["verifier_key"]
    whole = enclave.command("audit", "verify", str(copy), "--key", key)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    victims = [path for path in copy.rglob("*") if path.is_file()]
    for victim in (victims[0], victims[-1], copy / "checkpoint"):
        content = victim.read_bytes()
        middle = len(content) // 2
        victim.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        broken = enclave.command("audit", "verify", str(copy), "--key", key)
        assert broken.returncode == 1
        assert victim.name in broken.stdout
        victim.write_bytes(content)

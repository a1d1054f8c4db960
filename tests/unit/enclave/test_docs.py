"""The documentation: every relative link and picture of README and docs/ is there, generated tables are current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "permits" / "README.md"]
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def test_generated_tables_are_current() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generate-docs"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("person", ["researcher", "data-steward", "auditor", "admin"])
def test_each_of_the_four_people_has_a_page_with_pictures(person: str) -> None:
    assert (ROOT / "docs" / f"{person}.md").read_text().count("](images/") >= 3

"""audit/FORMAT.md, the published format, says what the code does."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import audit
from audit.canonical import MAX_LEAF_BYTES
from audit.cosignature import ED25519_COSIGNATURE, ML_DSA_44_COSIGNATURE
from audit.daemon.cosigned import KEPT
from audit.daemon.publishing import INTERVAL_SECONDS
from audit.daemon.witnessing import RENEW_SECONDS
from audit.event import MAX_PAYLOAD_BYTES, AuditEvent, Envelope, Peer, event_fields, leaf_of
from audit.own_events import OwnEvent
from audit.payload_segments import MAGIC
from audit.payloads import LABEL
from audit.report import Question

TEXT = (Path(audit.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")


def table(header):
    """The rows, as lists of cells, of the table whose header line begins like this."""
    lines = TEXT.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith(header)) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def codes(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_fields_is_that_of_a_record():
    event = AuditEvent("a:b", "u", "p", "w", "s", "allow", ("x",), "r", {"n": 1}, {"d": "t"})
    leaf = leaf_of(event_fields(event), Envelope("e", "w", "b", 1), Peer(1, 2), datetime.now(UTC), bytes(32))
    assert {codes(row[0])[0] for row in table("| field | meaning |")} == set(leaf)


def test_the_logs_own_records_are_all_there():
    named = {code for row in table("| type | when |") for code in codes(row[0])}
    assert named == {str(kind) for kind in OwnEvent}


def test_the_verdicts_are_the_verifiers_in_its_order():
    assert [codes(row[0])[0] for row in table("| verdict | what it says |")] == [str(item) for item in Question]


@pytest.mark.parametrize(
    "said",
    [
        f"{MAX_LEAF_BYTES:,} bytes",
        f"{MAX_PAYLOAD_BYTES:,} bytes",
        repr(LABEL.decode())[1:-1],
        repr(MAGIC.decode())[1:-1],
        f"newest {KEPT} are kept",
        f"at most {INTERVAL_SECONDS + 0.05:.1f} s until publication",
        f"every {RENEW_SECONDS:.0f} seconds",
        f"| `0x{ED25519_COSIGNATURE:02x}` | Ed25519",
        f"| `0x{ML_DSA_44_COSIGNATURE:02x}` | ML-DSA-44",
    ],
)
def test_its_figures_are_the_codes(said):
    assert said in TEXT


def test_links_within_the_document_lead_somewhere():
    headings = {
        re.sub(r"[^a-z -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in re.findall(r"^#+ .*", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings

"""Statistical disclosure control: one check per file of this package, all pure functions from bytes to findings.

``run_checks`` never raises, whatever the bytes: what cannot be read, or breaks a check, becomes a blocking finding
``unreadable`` (fail closed). Findings say where, never what; see ``egress_review.domain.findings``. SATRE 3.3.08.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from egress_review.domain.findings import Finding, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.active_content import check_active_content
from egress_review.sdc.file_types import check_file_type, check_readable, check_size
from egress_review.sdc.hidden_text import check_hidden_text
from egress_review.sdc.images import check_images
from egress_review.sdc.pseudonyms import check_pseudonyms
from egress_review.sdc.reading import Check, Reading, read
from egress_review.sdc.row_level import check_row_level
from egress_review.sdc.small_counts import check_small_counts, check_subtraction
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

CHECKS: tuple[Check, ...] = (
    check_file_type,
    check_size,
    check_readable,
    check_pseudonyms,
    check_small_counts,
    check_subtraction,
    check_row_level,
    check_active_content,
    check_images,
    check_hidden_text,
)
REPORTED_PLACES = 100
"""Findings of one kind, severity and file that are listed one by one; the rest are one finding with their number."""

_SEVERITY_ORDER = (Severity.BLOCKING, Severity.WARNING, Severity.INFO)


def run_checks(files: Mapping[str, bytes], rules: OutputRules, manifest: Manifest | None) -> tuple[Finding, ...]:
    """All findings, file by file in the order given, the severest first within a file. Never raises."""
    return tuple(finding for name, content in files.items() for finding in _check_file(name, content, rules, manifest))


def _check_file(name: str, content: bytes, rules: OutputRules, manifest: Manifest | None) -> list[Finding]:
    reading = _read(name, content)
    found: list[Finding] = []
    for check in CHECKS:
        found.extend(_limited(_run(check, reading, rules, manifest)))
    # A data frame is there twice, as HTML and as text: the same remark about the same place is one finding.
    found = list(dict.fromkeys(found))
    return sorted(found, key=lambda finding: _SEVERITY_ORDER.index(finding.severity))


def _read(name: str, content: bytes) -> Reading:
    try:
        return read(name, content)
    # Whatever a reader trips over in hostile bytes is a reason to quarantine them, never to let them pass.
    except Exception:
        return Reading(name, content, "", problem=_BROKE)


def _run(check: Check, reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    try:
        yield from check(reading, rules, manifest)
    except Exception:  # as above
        yield Finding("unreadable", Severity.BLOCKING, reading.name, _BROKE)


_BROKE = Sentence("A check could not deal with this file. Look at all of it yourself.")


def _limited(findings: Iterator[Finding]) -> Iterator[Finding]:
    seen: Counter[tuple[str, Severity, str]] = Counter()
    for finding in findings:
        kind = (finding.check, finding.severity, finding.file)
        seen[kind] += 1
        if seen[kind] <= REPORTED_PLACES:
            yield finding
    for (check, severity, file), number in seen.items():
        if number > REPORTED_PLACES:
            message = Sentence("%(number)s more places like these.", number=number - REPORTED_PLACES)
            yield Finding(check, severity, file, message)

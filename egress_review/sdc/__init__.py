"""Statistical disclosure control: one check per file of this package, all pure functions from bytes to findings.

``check_file`` never raises, whatever the bytes, but MemoryError: what cannot be read, or breaks a check, becomes a
blocking finding ``unreadable`` (fail closed). Findings say where, never what; see ``egress_review.domain.findings``.
SATRE 3.3.08.

Most checks parse, so the portal asks ``egress_review.parsing``, which calls this in a sandbox. ``check_unparsed`` is
what the portal says itself: no file can turn it off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from egress_review.domain.findings import Finding, Severity
from egress_review.domain.sentences import Sentence
from egress_review.sdc.active_content import check_active_content
from egress_review.sdc.file_types import check_file_type, check_readable, check_size
from egress_review.sdc.hidden_text import check_hidden_text
from egress_review.sdc.images import check_images
from egress_review.sdc.pseudonyms import A_PSEUDONYM, check_pseudonyms, holds_pseudonym
from egress_review.sdc.reading import Check, Reading, read, unparsed
from egress_review.sdc.row_level import check_row_level
from egress_review.sdc.small_counts import check_small_counts, check_subtraction
from enclave.domain.manifest import Manifest
from enclave.domain.permits import OutputRules

_UNPARSED: tuple[Check, ...] = (check_file_type, check_size, check_readable)
CHECKS: tuple[Check, ...] = (
    *_UNPARSED,
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
    """All findings, file by file in the order given, the severest first within a file."""
    return tuple(finding for name, content in files.items() for finding in check_file(name, content, rules, manifest))


def check_file(name: str, content: bytes, rules: OutputRules, manifest: Manifest | None) -> list[Finding]:
    """The findings of one file, the severest first."""
    return in_order(_found(CHECKS, _read(name, content), rules, manifest))


def check_unparsed(name: str, content: bytes, rules: OutputRules) -> list[Finding]:
    """Name, size, kind by the first bytes: what needs no parser."""
    return in_order(_found(_UNPARSED, unparsed(name, content), rules, None))


def with_pseudonyms(name: str, content: bytes, findings: list[Finding]) -> list[Finding]:
    """``findings``, and a pseudonym that stands in the bytes as it is, if they do not speak of any."""
    if not holds_pseudonym(content) or any(finding.check == "pseudonym" for finding in findings):
        return findings
    return in_order([Finding("pseudonym", Severity.BLOCKING, name, A_PSEUDONYM), *findings])


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """Each once (a data frame is there twice, as HTML and as text), the severest first."""
    return sorted(dict.fromkeys(found), key=lambda finding: _SEVERITY_ORDER.index(finding.severity))


def _found(
    checks: tuple[Check, ...], reading: Reading, rules: OutputRules, manifest: Manifest | None
) -> Iterator[Finding]:
    for check in checks:
        yield from _limited(_run(check, reading, rules, manifest))


def _read(name: str, content: bytes) -> Reading:
    try:
        return read(name, content)
    except MemoryError:
        raise
    # Whatever a reader trips over in hostile bytes is a reason to quarantine them, never to let them pass.
    except Exception:
        return Reading(name, content, "", problem=_BROKE)


def _run(check: Check, reading: Reading, rules: OutputRules, manifest: Manifest | None) -> Iterator[Finding]:
    try:
        yield from check(reading, rules, manifest)
    except MemoryError:
        raise
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

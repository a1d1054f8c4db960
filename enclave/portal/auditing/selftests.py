"""Self-test reports as the pages show them: in the reader's language, everything that is not closed by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import get_language, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from enclave.selftest.report import Finding, Report, stored
from enclave.selftest.residuals import RESIDUALS

Label = str | Promise
SHOWN = 20

VERDICT_LABELS: dict[str, tuple[Label, str]] = {
    "closed": (pgettext_lazy("probe", "Closed"), "good"),
    "open": (pgettext_lazy("probe", "Open"), "bad"),
    "error": (_("Did not run"), "bad"),
    "residual": (_("Known risk"), "wait"),
    "noted": (_("Noted"), "info"),
    "not-applicable": (_("Nothing to attack here"), "plain"),
}
MEANINGS: dict[str, Label] = {
    "open": _("The attack got through. Until it is explained, a workspace may not hold what it promises."),
    "error": _("The probe ended without an outcome, so it has proved nothing."),
    "residual": _("Known, written down in the threat model, and limited by other means."),
    "noted": _("Tells something about the machine; harms nobody by itself."),
    "not-applicable": _("This machine has nothing of the kind, so there was nothing to attack."),
}
DETAILS: dict[str, Label] = {
    "nothing of this kind on this machine": _("nothing of this kind on this machine"),
    "the machine's load is readable (it tells when others compute)": _(
        "the machine's load is readable (it tells when others compute)"
    ),
}
"""What probes often say; other words of theirs are shown as they are."""
GROUPS: dict[str, Label] = {
    "network": _("Network"),
    "socket-families": _("Kinds of sockets"),
    "host-files": _("Files of the host and of others"),
    "host-sockets": _("Doors of the enclave and the host"),
    "writing": _("Writing where nothing may be written"),
    "links": _("Links and planted files"),
    "tokens": _("Tokens"),
    "devices": _("Devices"),
    "kernel-files": _("The kernel's files"),
    "system-calls": _("System calls"),
    "processes": _("Other processes"),
    "server-wall": _("Between server and kernel"),
    "privilege": _("Privileges"),
    "inherited": _("What came in by itself"),
    "shared-memory": _("Shared memory and queues"),
    "leaks": _("What is given away"),
    "bombs": _("Bombs"),
}
REASONS: dict[str, Label] = {
    "asked": _("asked for"),
    "first": _("the first one"),
    "due": _("by the calendar"),
    "code": _("new version"),
    "kernel": _("new kernel"),
    "engine": _("other engine"),
}
PLACES: dict[str, Label] = {
    "server": _("server"),
    "kernel": _("kernel (of a notebook)"),
    "terminal": _("terminal"),
}


@dataclass(frozen=True)
class FindingRow:
    """One probe that is not simply closed."""

    probe: str
    place: str
    tried: str
    detail: str
    is_english: bool
    """Of ``detail``: the probe's own words, whatever the page's language is."""
    residual: str


@dataclass(frozen=True)
class Section:
    """All findings of one verdict."""

    label: Label
    tone: str
    meaning: Label
    rows: tuple[FindingRow, ...]


@dataclass(frozen=True)
class GroupRow:
    """One group with its counts, in the order of ``VERDICT_LABELS``."""

    label: Label
    counts: tuple[int, ...]
    is_good: bool


@dataclass(frozen=True)
class ReportRow:
    """One report for a list or at the head of its page."""

    report: Report
    reason: Label
    counts: tuple[str, ...]
    """Such as “611 closed”."""
    seconds: int


def reports() -> list[ReportRow]:
    """The newest first."""
    return [row_of(report) for report in stored(settings.ENCLAVE, SHOWN)]


def find_report(name: str) -> Report | None:
    """By its name, among those that are listed; the name is never made part of a path."""
    return next((report for report in stored(settings.ENCLAVE, SHOWN) if report.name == name), None)


def row_of(report: Report) -> ReportRow:
    """Counts that are not nothing, bad ones first."""
    counts = report.counts()
    order = ("open", "error", "residual", "noted", "closed")
    shown = tuple(_counted(verdict, counts[verdict]) for verdict in order if counts[verdict])
    seconds = int((report.finished_at - report.started_at).total_seconds())
    return ReportRow(report, REASONS.get(report.reason, report.reason), shown, seconds)


def _counted(verdict: str, n: int) -> str:
    match verdict:
        case "open":
            text = ngettext("%(n)s open", "%(n)s open", n)
        case "error":
            text = ngettext("%(n)s did not run", "%(n)s did not run", n)
        case "residual":
            text = ngettext("%(n)s known risk", "%(n)s known risks", n)
        case "noted":
            text = ngettext("%(n)s noted", "%(n)s noted", n)
        case _:
            text = ngettext("%(n)s closed", "%(n)s closed", n)
    return text % {"n": n}


def groups_of(report: Report) -> list[GroupRow]:
    """Every group, none left out."""
    return [
        GroupRow(GROUPS.get(name, name), tuple(counts[v] for v in VERDICT_LABELS), not counts["open"] + counts["error"])
        for name, counts in report.groups()
    ]


def sections_of(report: Report) -> list[Section]:
    """Everything that is not closed, the worst first."""
    wanted = [verdict for verdict in ("open", "error", "residual", "noted", "not-applicable") if report.of(verdict)]
    return [Section(*VERDICT_LABELS[verdict], MEANINGS[verdict], _rows(report.of(verdict))) for verdict in wanted]


def _rows(findings: Sequence[Finding]) -> tuple[FindingRow, ...]:
    """One row where server and kernel say the same."""
    places: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        places.setdefault((finding.probe, finding.detail), []).append(finding)
    return tuple(_row(same[0], [finding.place for finding in same]) for same in places.values())


def _row(finding: Finding, places: Sequence[str]) -> FindingRow:
    french = (get_language() or "en").startswith("fr")
    known = RESIDUALS.get(finding.probe)
    residual = "" if known is None or finding.verdict != "residual" else known.fr if french else known.en
    tried = finding.fr if french else finding.en
    where = ", ".join(str(PLACES.get(place, place)) for place in places)
    detail = str(DETAILS.get(finding.detail, finding.detail))
    return FindingRow(finding.probe, where, tried, detail, finding.detail not in DETAILS, residual)

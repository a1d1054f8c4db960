"""What the auditor's pages show, as plain values: rows with names beside pseudonymous ids, and the verified proof."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.checkpoint import Checkpoint
from audit.proof import ProofError, prove, verify_proof
from audit.reader import LogEntry, LogUnreadable
from audit.report import Question, Report, Status
from audit.verify import verify_log
from enclave.portal.audit_events import EventFilter, time_of
from enclave.portal.models import User


@dataclass(frozen=True)
class EventRow:
    """One line of the list."""

    index: int
    at: datetime
    type: str
    actor: str
    actor_name: str
    project: str
    subject: str
    subject_name: str
    decision: str


@dataclass(frozen=True)
class ProofResult:
    """Whether the log's own files prove that this record stands in it, under the published key."""

    ok: bool
    problem: str
    checkpoint: Checkpoint | None
    text: str

    @property
    def root(self) -> str:
        """Root hash of the checkpoint in base64, as the checkpoint writes it."""
        return base64.b64encode(self.checkpoint.root).decode() if self.checkpoint else ""


@dataclass(frozen=True)
class VerdictRow:
    """The answer to one question about the whole log; ``tone`` colours its chip."""

    question: str | Promise
    meaning: str | Promise
    status: str | Promise
    tone: str
    findings: tuple[str, ...]


_QUESTIONS: dict[Question, tuple[str | Promise, str | Promise]] = {
    Question.SIGNATURE: (_("Signature"), _("The checkpoint is signed with the log's key.")),
    Question.TREE: (_("Tree"), _("The hashes on disk make up the signed root.")),
    Question.ENTRIES: (_("Records"), _("Every record hashes to its leaf: none was edited.")),
    Question.CONSISTENCY: (_("History"), _("The log continues an earlier checkpoint.")),
    Question.FILES: (_("Files"), _("No file is missing, and none is there that should not be.")),
    Question.COMPLETENESS: (_("Completeness"), _("No writer's records have a gap: none was dropped.")),
}
_STATUS: dict[Status, tuple[str | Promise, str]] = {
    Status.OK: (_("Verified"), "good"),
    Status.FAILED: (_("Failed"), "bad"),
    Status.NOT_CHECKED: (_("Not checked"), "plain"),
}


def verdict_rows(report: Report) -> list[VerdictRow]:
    """The report as rows of the page."""
    rows = []
    for question, verdict in report.verdicts.items():
        name, meaning = _QUESTIONS[question]
        status, tone = _STATUS[verdict.status]
        findings = tuple(str(finding) for finding in (*verdict.problems, *verdict.notices))
        rows.append(VerdictRow(name, meaning, status, tone, findings))
    return rows


def names_by_id() -> dict[str, str]:
    """Person id → name, for auditors."""
    return {user.person_id: str(user) for user in User.objects.all()}


def row_of(entry: LogEntry, names: dict[str, str]) -> EventRow:
    """One entry as a row."""
    leaf = entry.leaf
    actor, subject = str(leaf.get("actor") or ""), str(leaf.get("subject") or "")
    return EventRow(
        index=entry.index,
        at=time_of(entry),
        type=str(leaf.get("type") or ""),
        actor=actor,
        actor_name=names.get(actor, ""),
        project=str(leaf.get("project") or ""),
        subject=subject,
        subject_name=names.get(subject, ""),
        decision=str(leaf.get("decision") or ""),
    )


def filter_of(given: dict[str, Any]) -> EventFilter:
    """The form's values as a filter; a person may be an id, a log-in name or part of a full name."""
    typed = str(given.get("person") or "").strip()
    return EventFilter(
        persons=_persons(typed) if typed else None,
        project=str(given.get("project") or ""),
        type=str(given.get("type") or ""),
        since=_utc(given.get("since")),
        until=_utc(given.get("until")),
        text=str(given.get("text") or "").strip(),
    )


def _persons(typed: str) -> frozenset[str]:
    wanted = typed.casefold()
    found = {u.person_id for u in User.objects.all() if wanted == u.username or wanted in str(u).casefold()}
    return frozenset(found | {typed})


def _utc(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC) if value is not None else None


def fields_of(entry: LogEntry) -> list[tuple[str, str]]:
    """Every field of the leaf that says something, as text, in the leaf's own words."""
    return [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in sorted(entry.leaf.items())
        if value not in ({}, [])
    ]


def verifier_key() -> str:
    """The log's public key as published by the audit daemon. Raises OSError."""
    return (settings.ENCLAVE.audit_dir / "log.vkey").read_text().strip()


def proof_of(entry: LogEntry) -> ProofResult:
    """Build the proof from the published files and check it as a stranger would."""
    try:
        text = prove(settings.ENCLAVE.log_dir, entry.index)
        return ProofResult(True, "", verify_proof(text, entry.leaf_hash, verifier_key()), text)
    except (ProofError, LogUnreadable, OSError) as error:
        return ProofResult(False, str(error), None, "")


def verified_log() -> Report:
    """The whole log checked: signature, every entry, every tile, completeness. Raises OSError without the key."""
    return verify_log(settings.ENCLAVE.log_dir, verifier_key())


def payload_text(payload: dict[str, Any]) -> list[tuple[str, str]]:
    """The protected part of a record as (name, text)."""
    return [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1))
        for key, value in sorted(payload.items())
    ]

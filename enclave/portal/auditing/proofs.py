"""Proof and verification as the pages show them: built from the published files, checked as a stranger would."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.checkpoint import Checkpoint
from audit.policy import Policy, parse_policy
from audit.proof import ProofError, prove, verify_proof
from audit.reader import LogEntry, LogUnreadable
from audit.report import Report, Status
from audit.verify import verify_log

FRESH = timedelta(minutes=10)
"""A witness is asked every few seconds; a cosignature older than this says that nobody outside sees the log."""


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


_QUESTIONS: dict[str, tuple[str | Promise, str | Promise]] = {
    "signature": (_("Signature"), _("The checkpoint is signed with the log's key.")),
    "tree": (_("Tree"), _("The hashes on disk make up the signed root.")),
    "entries": (_("Records"), _("Every record hashes to its leaf: none was edited.")),
    "consistency": (_("History"), _("The log continues an earlier checkpoint.")),
    "files": (_("Files"), _("No file is missing, and none is there that should not be.")),
    "witnesses": (_("Witnesses"), _("Another organisation has seen and cosigned the log, and recently.")),
    "timestamps": (_("Time stamps"), _("A time-stamping authority has stamped checkpoints of this log.")),
    "completeness": (_("Completeness"), _("No writer's records have a gap: none was dropped.")),
    "receipts": (_("Receipts"), _("Proofs handed out earlier still hold.")),
    "payloads": (_("Protected parts"), _("The encrypted texts are those the records commit to.")),
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
        name, meaning = _QUESTIONS[question.value]
        status, tone = _STATUS[verdict.status]
        findings = tuple(str(finding) for finding in (*verdict.problems, *verdict.notices))
        rows.append(VerdictRow(name, meaning, status, tone, findings))
    return rows


def verifier_key() -> str:
    """The log's public key as published by the audit daemon. Raises OSError."""
    return (settings.ENCLAVE.audit_dir / "log.vkey").read_text().strip()


def witness_policy() -> Policy | None:
    """The site's tlog-policy, None when the log has no witness. Raises OSError, PolicyError."""
    path = settings.ENCLAVE.audit_policy
    return parse_policy(path.read_bytes()) if path is not None else None


def proof_of(entry: LogEntry) -> ProofResult:
    """Build the proof from the published files and check it as a stranger would."""
    try:
        text = prove(settings.ENCLAVE.log_dir, entry.index)
        return ProofResult(True, "", verify_proof(text, entry.leaf_hash, verifier_key()), text)
    except (ProofError, LogUnreadable, OSError) as error:
        return ProofResult(False, str(error), None, "")


def verified_log() -> Report:
    """The whole log checked: every question that needs no secret. Raises OSError without the key."""
    policy = witness_policy()
    return verify_log(
        settings.ENCLAVE.log_dir, verifier_key(), policy=policy, max_age=FRESH if policy is not None else None
    )

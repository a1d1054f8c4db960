"""Why a workspace has no shared folder, in both languages, in ``/run/enclave/shared.json``: JupyterLab shows it.

Short, like ``enclave.workspaces.limit_sentences``: a notification is cut off after 140 characters. What exactly is
missing is in the hub's log, for the people who run the enclave.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from enclave.workspaces.limit_sentences import write_sentences


class Missing(StrEnum):
    """Which sentence."""

    NOT_HERE = "not-here"
    NOT_RECORDED = "not-recorded"
    NOT_MADE = "not-made"
    IN_USE = "in-use"


SENTENCES: dict[Missing, dict[str, str]] = {
    Missing.NOT_HERE: {
        "en": "There is no shared folder: this machine cannot offer one. Tell your admin (“enclave doctor” says why).",
        "fr": "Pas de dossier partagé : cette machine ne peut pas en offrir. Prévenez l’administrateur (« enclave "
        "doctor »).",
    },
    Missing.NOT_RECORDED: {
        "en": "There is no shared folder: the audit log takes no record of it now. Open the workspace again later.",
        "fr": "Pas de dossier partagé : le journal d’audit ne peut pas l’inscrire. Rouvrez l’espace de travail plus "
        "tard.",
    },
    Missing.NOT_MADE: {
        "en": "There is no shared folder: it cannot be made or mounted. Tell your admin (the hub’s log says why).",
        "fr": "Pas de dossier partagé : il n’a pas pu être créé ou monté. Prévenez l’administrateur (journal du hub).",
    },
    Missing.IN_USE: {
        "en": "There is no shared folder: your last workspace was still ending. Close this one and open it again.",
        "fr": "Pas de dossier partagé : votre espace précédent se terminait encore. Fermez celui-ci et rouvrez-le.",
    },
}


def say_missing(inside: Path, why: Missing, language: str) -> None:
    """For the researcher. Raises OSError."""
    problems = SENTENCES[why]
    write_sentences(inside / "shared.json", problems.get(language, problems["en"]), problems)

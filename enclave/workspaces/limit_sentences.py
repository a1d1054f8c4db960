"""What a researcher is told when the workspace has reached a limit, in both languages, in ``/run/enclave/*.json``.

The files inform; the host enforces. ``problem`` is the sentence in the language the workspace was opened in,
``problems`` a shorter one in each, for JupyterLab's notification, which is cut off after 140 characters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from enclave.files import write_atomically


class Told(StrEnum):
    """Which sentence."""

    HOME_FULL = "home-full"
    SHARED_FULL = "shared-full"
    HOME_GROWS = "home-grows"
    MANY_FILES = "many-files"
    NO_KERNEL = "no-kernel"


SENTENCES: dict[Told, dict[str, str]] = {
    Told.HOME_GROWS: {
        "en": "Your home holds more than its {limit} MB and has grown although nothing may be written, so no kernel "
        "runs now. Delete what you can spare in the file browser; a few seconds later kernels start again.",
        "fr": "Votre dossier personnel contient plus que ses {limit} Mo et a grossi alors que rien ne peut y être "
        "écrit ; aucun noyau ne tourne pour l’instant. Supprimez ce dont vous pouvez vous passer dans l’explorateur "
        "de fichiers ; quelques secondes plus tard, les noyaux peuvent redémarrer.",
    },
    Told.HOME_FULL: {
        "en": "Your home holds more than its {limit} MB, so nothing can be written now. Delete what you can spare; if "
        "that is not enough, close the workspace and open it again.",
        "fr": "Votre dossier personnel contient plus que ses {limit} Mo ; rien ne peut être écrit pour l’instant. "
        "Supprimez ce dont vous pouvez vous passer ; si cela ne suffit pas, fermez l’espace de travail et rouvrez-le.",
    },
    Told.SHARED_FULL: {
        "en": "The shared folder holds more than its {limit} MB, so nothing can be written now. Delete what you can "
        "spare; if that is not enough, close the workspace and open it again.",
        "fr": "Le dossier partagé contient plus que ses {limit} Mo ; rien ne peut être écrit pour l’instant. "
        "Supprimez ce dont vous pouvez vous passer ; si cela ne suffit pas, fermez l’espace de travail et rouvrez-le.",
    },
    Told.MANY_FILES: {
        "en": "Your home holds more than the {limit} files and folders it may. Delete what you can spare; with a tenth "
        "more, kernels end.",
        "fr": "Votre dossier personnel contient plus que les {limit} fichiers et dossiers permis. Supprimez ce dont "
        "vous pouvez vous passer ; un dixième de plus, et les noyaux s’arrêtent.",
    },
    Told.NO_KERNEL: {
        "en": "Your home holds far more than the {limit} files and folders it may, so no kernel runs now. Delete what "
        "you can spare in the file browser; a few seconds later kernels start again.",
        "fr": "Votre dossier personnel contient bien plus que les {limit} fichiers et dossiers permis ; aucun noyau ne "
        "tourne pour l’instant. Supprimez ce dont vous pouvez vous passer dans l’explorateur de fichiers ; quelques "
        "secondes plus tard, les noyaux peuvent redémarrer.",
    },
}


SHORT: dict[Told, dict[str, str]] = {
    Told.HOME_GROWS: {
        "en": "Your home grows beyond its {limit} MB: no kernel runs. Delete what you can spare (file browser).",
        "fr": "Votre dossier grossit au-delà de ses {limit} Mo : aucun noyau ne tourne. Supprimez-y des fichiers "
        "(explorateur).",
    },
    Told.HOME_FULL: {
        "en": "Your home holds more than its {limit} MB: nothing can be written now. Delete what you can spare.",
        "fr": "Votre dossier dépasse ses {limit} Mo : rien ne peut être écrit. Supprimez ce que vous pouvez.",
    },
    Told.SHARED_FULL: {
        "en": "The shared folder holds more than its {limit} MB: nothing can be written now. Delete what you can.",
        "fr": "Le dossier partagé dépasse ses {limit} Mo : rien ne peut être écrit. Supprimez ce que vous pouvez.",
    },
    Told.MANY_FILES: {
        "en": "Your home holds more than the {limit} files it may. Delete what you can; a tenth more, and kernels end.",
        "fr": "Votre dossier dépasse les {limit} fichiers permis. Supprimez-en ; un dixième de plus, et les noyaux "
        "s’arrêtent.",
    },
    Told.NO_KERNEL: {
        "en": "Your home holds far more than the {limit} files it may: no kernel runs. Delete some (file browser).",
        "fr": "Votre dossier dépasse de loin les {limit} fichiers permis : aucun noyau ne tourne. Supprimez-en dans "
        "l’explorateur.",
    },
}


def sentence(told: Told, limit: int, language: str) -> str:
    """In this language; English for one that we do not speak."""
    spoken = language if language in SENTENCES[told] else "en"
    return SENTENCES[told][spoken].format(limit=number(limit, spoken))


def number(value: int, language: str) -> str:
    """1,000,000 or 1 000 000, with blanks that do not break."""
    return f"{value:,}".replace(",", "\u202f" if language == "fr" else ",")


def tell(file: Path, told: Told, limit: int, language: str, **more: int) -> None:
    """Write the file that the workspace sees. Raises OSError."""
    problems = {each: text.format(limit=number(limit, each)) for each, text in SHORT[told].items()}
    write_sentences(file, sentence(told, limit, language), problems, **more)


def write_sentences(file: Path, problem: str, problems: Mapping[str, str], **more: int) -> None:
    """As the workspace sees them. Raises OSError."""
    content = {"problem": problem, "problems": dict(problems), **more}
    write_atomically(file, json.dumps(content, ensure_ascii=False).encode(), mode=0o644)

"""What can keep a workspace from starting although the portal allowed it: a sentence for the researcher, one table.

Each says what is missing and what to do next, in French and English; the record in the log carries the obstacle's name.
Non-goal: refusals, which are the portal's and come with sentences of their own.
"""

from __future__ import annotations

import errno
import shutil
from enum import StrEnum
from html import escape

from jupyterhub.spawner import SpawnException

from enclave.domain.decisions import RefusedError
from enclave.metering.ledger import LedgerUnreadableError
from enclave.sandbox import ImageNotThereError, SandboxError
from enclave.settings import Settings
from enclave.workspaces.added_packages import PackagesMissingError
from enclave.workspaces.launch import ImageMissingError
from enclave.workspaces.services import PartnerAwayError

SPARE_MB = 64
"""Free space without which nothing is started: half a workspace helps nobody."""


class DiskFullError(Exception):
    """Where homes and run-time files are kept, there is no space left."""


class EndedAtOnceError(Exception):
    """The workspace's server ended before it answered, or did not answer in time."""


class RevokedError(Exception):
    """Person or project was revoked since the portal's yes."""


class Obstacle(StrEnum):
    """Stored strings: the log carries them."""

    PORTAL_AWAY = "portal-away"
    GATEWAY_AWAY = "gateway-away"
    IMAGE_MISSING = "image-missing"
    ENGINE_MISSING = "engine-missing"
    PACKAGES_MISSING = "packages-missing"
    DISK_FULL = "disk-full"
    ENDED_AT_ONCE = "ended-at-once"
    NOT_PREPARED = "not-prepared"
    REVOKED = "revoked"


SENTENCES: dict[Obstacle, dict[str, str]] = {
    Obstacle.PORTAL_AWAY: {
        "en": "The portal does not answer, so nobody could say whether this workspace may start. Wait a minute and try "
        "again; if it lasts, tell the people who run this enclave.",
        "fr": "Le portail ne répond pas : personne n'a pu dire si cet espace de travail peut démarrer. Attendez une "
        "minute et réessayez ; si cela dure, prévenez l'équipe qui exploite l'enclave.",
    },
    Obstacle.GATEWAY_AWAY: {
        "en": "The gateway to the data does not answer, and a workspace without data would be of no use. Wait a minute "
        "and try again; if it lasts, tell the people who run this enclave.",
        "fr": "La passerelle vers les données ne répond pas, et un espace de travail sans données ne servirait à rien. "
        "Attendez une minute et réessayez ; si cela dure, prévenez l'équipe qui exploite l'enclave.",
    },
    Obstacle.IMAGE_MISSING: {
        "en": "The software of workspaces is not installed on this machine. You cannot mend this yourself: tell the "
        "people who run this enclave that “enclave doctor” says how.",
        "fr": "Les logiciels des espaces de travail ne sont pas installés sur cette machine. Cela ne dépend pas de "
        "vous : dites à l'équipe qui exploite l'enclave que « enclave doctor » indique comment faire.",
    },
    Obstacle.ENGINE_MISSING: {
        "en": "This machine cannot make the sandbox a workspace runs in, and none is started without one. You cannot "
        "mend this yourself: tell the people who run this enclave that “enclave doctor” says what is missing.",
        "fr": "Cette machine ne peut pas créer le bac à sable d'un espace de travail, et aucun ne démarre sans lui. "
        "Cela ne dépend pas de vous : dites à l'équipe qui exploite l'enclave que « enclave doctor » indique ce qui "
        "manque.",
    },
    Obstacle.PACKAGES_MISSING: {
        "en": "The packages that were added to this project are not on this machine, and your notebooks may need them. "
        "You cannot mend this yourself: tell the people who run this enclave.",
        "fr": "Les paquets ajoutés à ce projet ne sont pas sur cette machine, et vos carnets peuvent en avoir besoin. "
        "Cela ne dépend pas de vous : prévenez l'équipe qui exploite l'enclave.",
    },
    Obstacle.DISK_FULL: {
        "en": "The disk for workspaces is full, so none can start; your files are safe. Tell the people who run this "
        "enclave, and delete what you no longer need when you can open it again.",
        "fr": "Le disque des espaces de travail est plein : aucun ne peut démarrer, vos fichiers sont intacts. "
        "Prévenez l'équipe qui exploite l'enclave et, une fois l'espace rouvert, supprimez ce qui ne sert plus.",
    },
    Obstacle.ENDED_AT_ONCE: {
        "en": "The workspace was started and ended before it was ready. Try once more; if it happens again, tell the "
        "people who run this enclave (the hub's log says why).",
        "fr": "L'espace de travail a démarré puis s'est arrêté avant d'être prêt. Réessayez une fois ; si cela se "
        "reproduit, prévenez l'équipe qui exploite l'enclave (le journal du hub dit pourquoi).",
    },
    Obstacle.NOT_PREPARED: {
        "en": "The workspace's folders could not be prepared on this machine. Try once more; if it happens again, tell "
        "the people who run this enclave (the hub's log says why).",
        "fr": "Les dossiers de l'espace de travail n'ont pas pu être préparés sur cette machine. Réessayez une fois ; "
        "si cela se reproduit, prévenez l'équipe qui exploite l'enclave (le journal du hub dit pourquoi).",
    },
    Obstacle.REVOKED: {
        "en": "Your access to this project ended while the workspace was starting, so it was not opened. If that is "
        "not what you expect, tell the people who run this enclave.",
        "fr": "Votre accès à ce projet a pris fin pendant le démarrage : l'espace de travail n'a pas été ouvert. Si "
        "cela vous surprend, prévenez l'équipe qui exploite l'enclave.",
    },
}
_FULL = (errno.ENOSPC, errno.EDQUOT)
FAILURES = (
    PartnerAwayError,
    RefusedError,
    SandboxError,
    ImageMissingError,
    PackagesMissingError,
    EndedAtOnceError,
    RevokedError,
    DiskFullError,
    LedgerUnreadableError,
    OSError,
)
"""What preparing and starting may raise."""


def check_space(settings: Settings) -> None:
    """Raises DiskFullError when homes or run-time files have no room for another workspace."""
    for folder in (settings.workspaces_dir, settings.run_dir):
        if folder.exists() and shutil.disk_usage(folder).free < SPARE_MB << 20:
            raise DiskFullError(f"Expected {SPARE_MB} MB free at {folder.name}/, found less.")


def obstacle_of(error: Exception) -> Obstacle:
    """Which obstacle an error means."""
    match error:
        case PartnerAwayError(partner="portal"):
            return Obstacle.PORTAL_AWAY
        case PartnerAwayError() | RefusedError():  # the gateway's own refusal: it will not open the socket
            return Obstacle.GATEWAY_AWAY
        case ImageMissingError() | ImageNotThereError():
            return Obstacle.IMAGE_MISSING
        case PackagesMissingError():
            return Obstacle.PACKAGES_MISSING
        case SandboxError():
            return Obstacle.ENGINE_MISSING
        case EndedAtOnceError():
            return Obstacle.ENDED_AT_ONCE
        case RevokedError():
            return Obstacle.REVOKED
        case DiskFullError():
            return Obstacle.DISK_FULL
        case OSError() if error.errno in _FULL:
            return Obstacle.DISK_FULL
        case _:
            return Obstacle.NOT_PREPARED


def refusal(sentence: str, reason: str, status: int) -> SpawnException:
    """For JupyterHub: what its pages show is the sentence alone, on whichever of them the researcher is."""
    error = SpawnException(sentence, reason=reason, status_code=status)
    error.jupyterhub_message, error.jupyterhub_html_message = sentence, escape(sentence)
    return error

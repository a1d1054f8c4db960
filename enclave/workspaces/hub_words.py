"""The words of our hub pages in both languages; JupyterHub's own few remaining pages stay as they are."""

from __future__ import annotations

from typing import Any

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "portal": "Portal",
        "workspaces": "Workspaces",
        "none": "You have no running workspace.",
        "how": "A workspace is opened from its project's page in the portal.",
        "not-open": "The workspace is not open",
        "not-running": "The workspace {name} is not running.",
        "failed": "The workspace {name} could not be opened.",
        "open": "Open the workspace",
        "again": "Try again",
        "starting-title": "Your workspace is starting",
        "starting": "A few seconds; the page changes by itself when it is ready.",
        "back": "Back to the portal",
        "recorded": "The refusal is on record, as every refusal is.",
        "no-project": "A workspace belongs to a project, and this address names none. "
        "Open the workspace from the project's page in the portal.",
        "not-for-you": "Workspaces are for researchers; your account has another role. Your own pages are in the "
        "portal. If you should have a workspace, ask an admin.",
        "not-yours": "A workspace opens only for the person it was started for. Open yours from the portal.",
    },
    "fr": {
        "portal": "Portail",
        "workspaces": "Espaces de travail",
        "none": "Vous n'avez aucun espace de travail ouvert.",
        "how": "Un espace de travail s'ouvre depuis la page de son projet dans le portail.",
        "not-open": "L'espace de travail n'est pas ouvert",
        "not-running": "L'espace de travail {name} n'est pas en marche.",
        "failed": "L'espace de travail {name} n'a pas pu s'ouvrir.",
        "open": "Ouvrir l'espace de travail",
        "again": "Réessayer",
        "starting-title": "Votre espace de travail démarre",
        "starting": "Quelques secondes ; la page change d'elle-même quand il est prêt.",
        "back": "Retour au portail",
        "recorded": "Le refus est inscrit au journal, comme tout refus.",
        "no-project": "Un espace de travail appartient à un projet, et cette adresse n'en nomme aucun. "
        "Ouvrez-le depuis la page du projet dans le portail.",
        "not-for-you": "Les espaces de travail sont réservés aux chercheuses et chercheurs ; votre compte a un autre "
        "rôle. Vos pages se trouvent dans le portail. S'il vous faut un espace de travail, adressez-vous à un "
        "administrateur.",
        "not-yours": "Un espace de travail ne s'ouvre que pour la personne pour qui il a été démarré. Ouvrez le vôtre "
        "depuis le portail.",
    },
}


def said(handler: Any, site: str, what: str) -> str:
    """One of the words in the language of the page that will show it."""
    return WORDS[preferred_language(handler, site)][what]


def preferred_language(handler: Any, site: str) -> str:
    """``fr`` or ``en``: what the browser behind a request handler prefers, else the site's."""
    wanted = handler.request.headers.get("Accept-Language", "").lower() if handler is not None else ""
    found = {name: wanted.find(name) for name in ("fr", "en") if name in wanted}
    return min(found, key=lambda name: found[name]) if found else site

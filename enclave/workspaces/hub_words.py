"""The words of our hub pages in both languages; JupyterHub's own few remaining pages stay as they are."""

from __future__ import annotations

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
        "starting": "Your workspace is starting; the page changes by itself when it is ready.",
        "back": "Back to the portal",
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
        "starting": "Votre espace de travail démarre ; la page change d'elle-même quand il est prêt.",
        "back": "Retour au portail",
    },
}

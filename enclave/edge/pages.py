"""The edge's own small pages: one sentence what happened, one what to do, in the browser's language."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from aiohttp import web

_SHELL = """<!doctype html><html lang="{language}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:1.05rem/1.5 system-ui,sans-serif;max-width:38rem;margin:4rem auto;padding:0 1rem}}
h1{{font-size:1.4rem}}</style><h1>{title}</h1><p>{text}</p></html>
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Message:
    """Status and texts of one page."""

    status: int
    title: dict[str, str]
    text: dict[str, str]


MESSAGES: dict[str, Message] = {
    "unknown-host": Message(
        421,
        {"en": "Unknown address", "fr": "Adresse inconnue"},
        {
            "en": "Nothing is served under this name. Use the portal's address that your hospital gave you.",
            "fr": "Rien n'est servi sous ce nom. Utilisez l'adresse du portail communiquée par votre établissement.",
        },
    ),
    "bad-path": Message(
        400,
        {"en": "This address is not readable", "fr": "Adresse illisible"},
        {
            "en": "The address contains signs that are not allowed here. Start again from the portal.",
            "fr": "L'adresse contient des signes non admis ici. Repartez du portail.",
        },
    ),
    "not-found": Message(
        404,
        {"en": "There is no such page", "fr": "Page introuvable"},
        {"en": "Start again from the portal.", "fr": "Repartez du portail."},
    ),
    "away": Message(
        503,
        {"en": "Starting, or away for a moment", "fr": "Démarrage ou brève interruption"},
        {
            "en": "The service behind this address does not answer. Reload the page in a moment; "
            "if it lasts, tell your admin.",
            "fr": "Le service derrière cette adresse ne répond pas. Rechargez la page dans un instant ; "
            "si cela dure, prévenez l'administrateur.",
        },
    ),
    "broken": Message(
        502,
        {"en": "The answer broke off", "fr": "Réponse interrompue"},
        {
            "en": "The service behind this address ended the connection. Reload the page; "
            "if it lasts, tell your admin.",
            "fr": "Le service derrière cette adresse a coupé la connexion. Rechargez la page ; "
            "si cela dure, prévenez l'administrateur.",
        },
    ),
    "not-yours": Message(
        403,
        {"en": "This is not your workspace", "fr": "Ce n'est pas votre espace de travail"},
        {
            "en": "A workspace opens only for the person it was started for. "
            "Open yours from the project's page in the portal.",
            "fr": "Un espace de travail ne s'ouvre que pour la personne qui l'a démarré. "
            "Ouvrez le vôtre depuis la page du projet dans le portail.",
        },
    ),
    "old-link": Message(
        403,
        {"en": "This link was for one use", "fr": "Ce lien ne servait qu'une fois"},
        {
            "en": "It has been used, or is older than a minute. Open the workspace from the project's page "
            "in the portal.",
            "fr": "Il a déjà servi ou date de plus d'une minute. Ouvrez l'espace de travail depuis la page du projet "
            "dans le portail.",
        },
    ),
    "foreign-page": Message(
        403,
        {"en": "This request came from another page", "fr": "Cette requête vient d'une autre page"},
        {
            "en": "A workspace takes requests only from its own pages. Open it from the portal.",
            "fr": "Un espace de travail n'accepte que les requêtes de ses propres pages. Ouvrez-le depuis le portail.",
        },
    ),
    "too-large": Message(
        403,
        {"en": "Too large for the browser", "fr": "Trop volumineux pour le navigateur"},
        {
            "en": "This file is larger than what a workspace shows in a browser. Clear large outputs of the notebook, "
            "or read the file in a cell.",
            "fr": "Ce fichier dépasse ce qu'un espace de travail montre dans un navigateur. Effacez les grandes "
            "sorties du notebook ou lisez le fichier dans une cellule.",
        },
    ),
}


def language_of(request: web.BaseRequest) -> str:
    """``fr`` when the browser prefers French over English, else ``en``."""
    wanted = request.headers.get("Accept-Language", "").lower()
    french, english = wanted.find("fr"), wanted.find("en")
    return "fr" if french >= 0 and (english < 0 or french < english) else "en"


def page(request: web.BaseRequest, name: str) -> web.Response:
    """The page for a browser; JSON with a ``message`` for a program."""
    message = MESSAGES[name]
    language = language_of(request)
    return _answer(request, message.status, message.title[language], message.text[language])


def refusal(request: web.BaseRequest, reasons: tuple[str, ...]) -> web.Response:
    """403 with the sentences of a decision."""
    title = "Non autorisé" if language_of(request) == "fr" else "Not allowed"
    return _answer(request, 403, title, " ".join(reasons))


def _answer(request: web.BaseRequest, status: int, title: str, text: str) -> web.Response:
    if "text/html" not in request.headers.get("Accept", ""):
        return web.json_response(
            {"message": text, "reason": title}, status=status, headers={"Cache-Control": "no-store"}
        )
    body = _SHELL.format(language=language_of(request), title=escape(title), text=escape(text))
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": _POLICY}
    return web.Response(status=status, text=body, content_type="text/html", headers=headers)

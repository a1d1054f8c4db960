"""Refusal bursts: many refusals of one person within a short sliding window, whatever was refused."""

from __future__ import annotations

from datetime import timedelta

from audit.alerts.clock import Span, naive
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

SENTENCE = "refusal-bursts/refusals"

# unknown persons and the portal (log-ins under unknown names) count too: guessing has no name
SQL = """
WITH refused AS (
    SELECT actor, project, type, "index", "at", {day} AS day,
           count(*) OVER (PARTITION BY actor ORDER BY "at"
                          RANGE BETWEEN to_minutes($minutes::BIGINT) PRECEDING AND CURRENT ROW) AS recent
    FROM records
    WHERE (decision = 'deny' OR suffix(type, ':refused')) AND "at" >= $window_start AND "at" <= $now
)
SELECT [actor, day::VARCHAR] AS scope, 'refusal-bursts/refusals' AS sentence, actor,
       CASE WHEN min(project) = max(project) THEN min(project) END AS project,
       min("at") AS first_at, max("at") AS last_at, arg_max("index", recent, 20) AS records, day,
       max(recent) AS refusals, count(*) AS day_refusals, count(*) FILTER (type = 'login:refused') AS logins,
       count(*) FILTER (type = 'query:refused') AS queries, $minutes AS minutes
FROM refused
WHERE day >= $start_day
GROUP BY actor, day
HAVING max(recent) >= $refusals
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters; the window reaches back before the first day."""
    section = thresholds.refusal_bursts
    return {
        "minutes": section.minutes,
        "refusals": section.refusals,
        "window_start": naive(span.start - timedelta(minutes=section.minutes)),
    }


RULE = Rule(
    id="refusal-bursts",
    title="Burst of refusals",
    title_fr="Série de refus",
    meaning=(
        "One person was refused many times within minutes: log-ins, tokens, queries, actions or output requests."
        " Somebody is trying where the limits are, or a program is badly set up."
    ),
    meaning_fr=(
        "Une personne s'est vu opposer de nombreux refus en quelques minutes : connexions, jetons, requêtes, actions"
        " ou demandes de sortie. Quelqu'un cherche les limites, ou un programme est mal configuré."
    ),
    action=(
        "See which rules refused. Refused log-ins: ask the person, and have the password changed. Refused queries that"
        " vary in form: look for what was allowed right after them."
    ),
    action_fr=(
        "Regardez quelles règles ont refusé. Connexions refusées : interrogez la personne et faites changer le mot de"
        " passe. Requêtes refusées de formes variées : cherchez ce qui a été admis juste après."
    ),
    reads=("type", "decision", "actor", "project", "at"),
    blind_spots=(
        "Attempts slower than the threshold within the window are not a burst.",
        "Log-ins under unknown names share one actor, the portal; tokens that cannot be read share 'unknown'.",
        "What a front end forbids before it sends anything leaves no record.",
    ),
    blind_spots_fr=(
        "Des tentatives plus lentes que le seuil dans la fenêtre ne forment pas une série.",
        "Les connexions sous un nom inconnu partagent un seul acteur, le portail ; les jetons illisibles, 'unknown'.",
        "Ce qu'une interface interdit avant tout envoi ne laisse pas d'enregistrement.",
    ),
    sentences={
        SENTENCE: Sentence(
            Severity.MEDIUM,
            "{refusals} refusals within {minutes} minutes on {day} ({day_refusals} that day, {logins} of them log-ins"
            " and {queries} queries).",
            "{refusals} refus en {minutes} minutes le {day} ({day_refusals} ce jour-là, dont {logins} connexions et"
            " {queries} requêtes).",
        )
    },
    queries=(SQL,),
    parameters=parameters,
)

"""Off-hours: what a person did outside the site's working hours, counted per local day."""

from __future__ import annotations

from audit.alerts.clock import Span
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import WEEKDAYS, Thresholds

SENTENCE = "off-hours/activity"

# 1970-01-01 was a Thursday, so that day + 3 counts weekdays from Monday on
SQL = """
WITH moments AS (
    SELECT actor, project, type, "index", "at", {local_us} AS local_us
    FROM records
    WHERE "at" >= $start AND "at" <= $now AND {person} AND type <> 'query:outcome'
), dated AS (
    SELECT *, local_us // 86400000000 AS day, (local_us % 86400000000) // 60000000 AS minute FROM moments
)
SELECT [actor, day::VARCHAR] AS scope, 'off-hours/activity' AS sentence, actor,
       CASE WHEN min(project) = max(project) THEN min(project) END AS project,
       min("at") AS first_at, max("at") AS last_at, max("index", 20) AS records, day, count(*) AS activities,
       count(*) FILTER (type = 'query:intent') AS queries,
       count(*) FILTER (type = 'output-request:downloaded') AS downloads
FROM dated
WHERE NOT list_contains($weekdays, (day + 3) % 7) OR minute < $opens OR minute >= $closes
GROUP BY actor, day
HAVING count(*) >= $off_hours_records
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters; times in minutes since midnight."""
    section = thresholds.off_hours
    return {
        "weekdays": [WEEKDAYS.index(day) for day in section.weekdays],
        "opens": section.opens.hour * 60 + section.opens.minute,
        "closes": section.closes.hour * 60 + section.closes.minute,
        "off_hours_records": section.records,
    }


RULE = Rule(
    id="off-hours",
    title="Activity outside working hours",
    title_fr="Activité en dehors des heures ouvrées",
    meaning=(
        "A person worked at night or on a day off, more than now and then. Whoever uses a stolen session, or does not"
        " want to be seen, prefers those hours; so do people with a deadline."
    ),
    meaning_fr=(
        "Une personne a travaillé la nuit ou un jour non ouvré, plus qu'à titre exceptionnel. Qui utilise une session"
        " volée ou souhaite ne pas être vu choisit ces heures ; qui doit tenir une échéance aussi."
    ),
    action=(
        "Compare with the person's usual hours and with the log-ins of that day. If the person says that they did not"
        " work then, have access revoked at once: somebody else uses the account."
    ),
    action_fr=(
        "Comparez avec les horaires habituels de la personne et avec ses connexions du jour. Si elle déclare ne pas"
        " avoir travaillé à ce moment, faites révoquer l'accès sans attendre : une autre personne utilise le compte."
    ),
    reads=("type", "actor", "project", "at"),
    blind_spots=(
        "Public holidays on a working day count as ordinary days.",
        "Work from another time zone is measured by the site's clock.",
        "A night that passes midnight is counted as two days, each against the threshold on its own.",
    ),
    blind_spots_fr=(
        "Un jour férié tombant un jour ouvré compte comme un jour ordinaire.",
        "Le travail depuis un autre fuseau horaire est mesuré à l'heure du site.",
        "Une nuit qui passe minuit compte pour deux jours, chacun comparé séparément au seuil.",
    ),
    sentences={
        SENTENCE: Sentence(
            Severity.LOW,
            "{activities} activities outside working hours on {day}, {queries} of them queries and {downloads}"
            " downloads.",
            "{activities} activités hors des heures ouvrées le {day}, dont {queries} requêtes et {downloads}"
            " téléchargements.",
        )
    },
    queries=(SQL,),
    parameters=parameters,
)

"""Shifting filters: one statement template repeated by one person with only its literals changing.

The template is the statement without its literals, so that repeats of a template are the same question about ever
other people.
"""

from __future__ import annotations

from audit.alerts.clock import Span
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

SENTENCE = "shifting-filters/repeats"

SQL = """
SELECT [actor, project, template, day::VARCHAR] AS scope, 'shifting-filters/repeats' AS sentence, actor, project,
       min("at") AS first_at, max("at") AS last_at, max("index", 20) AS records, day, template, count(*) AS repeats
FROM (
    SELECT actor, project, template, "index", "at", {day} AS day
    FROM records
    WHERE type = 'query:intent' AND template IS NOT NULL AND "at" >= $start AND "at" <= $now AND {person}
)
GROUP BY actor, project, template, day
HAVING count(*) > $repeats
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters."""
    return {"repeats": thresholds.shifting_filters.repeats}


RULE = Rule(
    id="shifting-filters",
    title="One question with shifting filters",
    title_fr="Même question, filtres changeants",
    meaning=(
        "A person sent the same statement very often in one day, with nothing but its values changing. That is how a"
        " table is read person by person, and how differences between overlapping groups are collected."
    ),
    meaning_fr=(
        "Une personne a envoyé très souvent la même requête en une journée, seules les valeurs changeant. C'est ainsi"
        " que l'on lit une table personne par personne, ou que l'on recueille des différences entre groupes qui se"
        " recouvrent."
    ),
    action=(
        "Have the payloads of a few of these records opened and look at which value moves. A loop over hospitals or"
        " years is ordinary; a loop over identifiers, dates of birth or postcodes is not."
    ),
    action_fr=(
        "Faites ouvrir le contenu de quelques enregistrements et regardez quelle valeur varie. Une boucle sur les"
        " établissements ou les années est ordinaire ; une boucle sur des identifiants, des dates de naissance ou des"
        " codes postaux ne l'est pas."
    ),
    reads=("type", "actor", "project", "template", "at"),
    blind_spots=(
        "The values are sealed in the payloads: a dashboard that repeats the very same statement looks alike.",
        "A statement rewritten a little each time has another template each time.",
        "One statement that carries a long list of values counts once.",
    ),
    blind_spots_fr=(
        "Les valeurs sont scellées : un tableau de bord qui répète la même requête a la même apparence.",
        "Une requête légèrement réécrite à chaque fois a chaque fois un autre gabarit.",
        "Une requête portant une longue liste de valeurs compte une seule fois.",
    ),
    sentences={
        SENTENCE: Sentence(
            Severity.MEDIUM,
            "The same statement {repeats} times on {day}, with changing values.",
            "La même requête {repeats} fois le {day}, avec des valeurs changeantes.",
        )
    },
    queries=(SQL,),
    parameters=parameters,
)

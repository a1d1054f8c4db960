"""Near threshold: many results whose population or smallest cell lies just over the small count.

A single one is chance. Many of them from one dataset are how somebody walks along the limit to learn about few people.
"""

from __future__ import annotations

from audit.alerts.clock import Span
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

SENTENCE = "near-threshold/results"

SQL = """
WITH limits AS (
    SELECT unnest($projects::VARCHAR[]) AS project, unnest($small_counts::BIGINT[]) AS small
), results AS (
    SELECT actor, project, dataset, "index", "at", persons, min_cell, coalesce(limits.small, $small_count) AS small,
           {day} AS day
    FROM records LEFT JOIN limits USING (project)
    WHERE type = 'query:outcome' AND "at" >= $start AND "at" <= $now AND {person}
      AND (persons <= $highest OR min_cell <= $highest)
)
SELECT [actor, dataset, day::VARCHAR] AS scope, 'near-threshold/results' AS sentence, actor,
       CASE WHEN min(project) = max(project) THEN min(project) END AS project,
       min("at") AS first_at, max("at") AS last_at, max("index", 20) AS records, day, dataset,
       count(*) AS results, max(small) AS small_count, $band AS band
FROM results
WHERE persons BETWEEN small AND small + $band OR min_cell BETWEEN small AND small + $band
GROUP BY actor, dataset, day
HAVING count(*) >= $near_results
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters; ``highest`` is what no near result exceeds under any permit."""
    site, section = thresholds.site, thresholds.near_threshold
    return {
        "projects": list(site.small_count_by_project),
        "small_counts": list(site.small_count_by_project.values()),
        "small_count": site.small_count,
        "highest": max(site.small_count, *site.small_count_by_project.values(), 0) + section.band,
        "band": section.band,
        "near_results": section.results,
    }


RULE = Rule(
    id="near-threshold",
    title="Results just over the small count",
    title_fr="Résultats juste au-dessus du seuil de petits effectifs",
    meaning=(
        "In one day a person had many results from one dataset that concern only a few people more than the permit's"
        " small count. The filters may have been cut so as to come as close to single people as the rules allow."
    ),
    meaning_fr=(
        "En une journée, une personne a obtenu d'un même jeu de données de nombreux résultats portant sur à peine plus"
        " de personnes que le seuil de petits effectifs du permis. Les filtres ont peut-être été ajustés pour"
        " s'approcher le plus possible d'individus."
    ),
    action=(
        "Look at the statements in order: filters that narrow step by step need an explanation. Tell the data steward,"
        " who should review this project's outputs together and not one by one."
    ),
    action_fr=(
        "Examinez les requêtes dans l'ordre : des filtres qui se resserrent pas à pas appellent une explication."
        " Prévenez le responsable des données, qui devrait examiner les sorties de ce projet ensemble et non une à"
        " une."
    ),
    reads=("type", "actor", "project", "dataset", "at", "persons", "min_cell"),
    blind_spots=(
        "Results for which the gateway could not say how many people stand behind them are not counted.",
        "Rare diseases make honest results near the small count; expect alerts from such projects.",
        "A walk along the limit over several days, or over several versions of a dataset, stays below the number.",
    ),
    blind_spots_fr=(
        "Les résultats dont la passerelle n'a pu déterminer l'effectif ne sont pas comptés.",
        "Les maladies rares produisent légitimement des résultats proches du seuil : attendez-vous à des alertes.",
        "Une progression étalée sur plusieurs jours ou plusieurs versions d'un jeu de données reste sous le nombre.",
    ),
    sentences={
        SENTENCE: Sentence(
            Severity.MEDIUM,
            "{results} results on {day} within {band} persons of the small count of {small_count}.",
            "{results} résultats le {day} à moins de {band} personnes au-dessus du seuil de {small_count}.",
        )
    },
    queries=(SQL,),
    parameters=parameters,
)

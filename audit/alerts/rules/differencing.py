"""Differencing: two results of one template, close in time, whose populations differ by fewer than the small count.

Subtracting them tells something about the few people that make the difference. Time is cut into episodes as long as the
window, counted from 1970 in UTC. Within an episode any two results are close enough; across the border to the episode
before, the last time of a population there and its first time here decide. So one row per population and episode is
enough, and windows ordered by population find the neighbours: no join of results with each other.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from audit.alerts.clock import Span, naive
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

SENTENCE = "differencing/populations"
_FAR_FUTURE_US = 2**62

# A number stands for person and template, because sorting by numbers is several times faster than by hashes in text.
# "gap" leaves few rows for the costly windows: a size stands there at most twice, so the next other one is at most two
# rows away. "reach": until when a population can be subtracted from; own ones always can be, within the episode
SQL = """
WITH limits AS (
    SELECT unnest($projects::VARCHAR[]) AS project, unnest($small_counts::BIGINT[]) AS small
), results AS (
    SELECT actor, template, persons, project, "index", epoch_us("at") AS us
    FROM records
    WHERE type = 'query:outcome' AND persons IS NOT NULL AND template IS NOT NULL AND "at" >= $episodes_start
      AND "at" <= $now AND {person}
), questions AS MATERIALIZED (
    SELECT actor, template, row_number() OVER () AS question FROM (SELECT DISTINCT actor, template FROM results)
), valued AS (
    SELECT question, persons, us // $window_us AS episode, min(us) AS first_us,
           max(us) AS last_us, min("index") AS first_index, max("index") AS last_index,
           max(coalesce(limits.small, $small_count)) AS small, min(project) AS low_project, max(project) AS high_project
    FROM results JOIN questions USING (actor, template) LEFT JOIN limits USING (project)
    GROUP BY ALL
), sided AS (
    SELECT *, true AS own, $far_future_us AS reach, first_us AS opening FROM valued
    UNION ALL
    SELECT * REPLACE (episode + 1 AS episode), false, last_us, NULL FROM valued
), beside AS (
    SELECT *, least(abs(persons - nullif(lag(persons) OVER sizes, persons)),
                    abs(persons - nullif(lag(persons, 2) OVER sizes, persons)),
                    abs(persons - nullif(lead(persons) OVER sizes, persons)),
                    abs(persons - nullif(lead(persons, 2) OVER sizes, persons))) AS gap
    FROM sided
    WHERE episode >= $first_episode
    WINDOW sizes AS (PARTITION BY question, episode ORDER BY persons)
), neighbours AS (
    SELECT *, greatest(max(reach) OVER below, max(reach) OVER above) AS neighbour_reach,
           least(min(opening) OVER below, min(opening) OVER above) AS neighbour_opening
    FROM beside
    WHERE gap < $largest_small_count
    WINDOW below AS (PARTITION BY question, episode ORDER BY persons
                     RANGE BETWEEN small - 1 PRECEDING AND 1 PRECEDING),
           above AS (PARTITION BY question, episode ORDER BY persons
                     RANGE BETWEEN 1 FOLLOWING AND small - 1 FOLLOWING)
), near AS (
    SELECT *, CASE WHEN own THEN first_index ELSE last_index END AS place FROM neighbours
    WHERE CASE WHEN own THEN neighbour_reach >= first_us - $window_us ELSE neighbour_opening <= last_us + $window_us END
)
SELECT [actor, template, episode::VARCHAR] AS scope, 'differencing/populations' AS sentence, actor,
       CASE WHEN min(low_project) = max(high_project) THEN min(low_project) END AS project,
       make_timestamp(min(CASE WHEN own THEN first_us ELSE last_us END)) AS first_at,
       make_timestamp(max(last_us)) AS last_at, arg_min(place, persons, 20) AS records,
       count(DISTINCT persons) AS populations, min(persons) AS smallest_population, max(small) AS small_count,
       $hours AS hours, template
FROM near JOIN questions USING (question)
GROUP BY actor, template, episode
HAVING bool_or(own)
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters; the window in microseconds, episodes counted since 1970."""
    site, hours = thresholds.site, thresholds.differencing.hours
    window = timedelta(hours=hours)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first_episode = (span.start - epoch) // window
    return {
        "projects": list(site.small_count_by_project),
        "small_counts": list(site.small_count_by_project.values()),
        "small_count": site.small_count,
        "largest_small_count": max(site.small_count, *site.small_count_by_project.values(), 0),
        "window_us": window // timedelta(microseconds=1),
        "first_episode": first_episode,
        "episodes_start": naive(epoch + (first_episode - 1) * window),
        "hours": hours,
        "far_future_us": _FAR_FUTURE_US,
    }


RULE = Rule(
    id="differencing",
    title="Populations that differ by a few people",
    title_fr="Populations différant de quelques personnes",
    meaning=(
        "Within a short time a person had two results of the same statement whose populations differ by fewer people"
        " than the small count. Each result alone is allowed; their difference describes a handful of people."
    ),
    meaning_fr=(
        "En peu de temps, une personne a obtenu deux résultats d'une même requête dont les populations diffèrent de"
        " moins de personnes que le seuil de petits effectifs. Chaque résultat est admis séparément ; leur différence"
        " décrit une poignée de personnes."
    ),
    action=(
        "Open the records side by side: they are sorted by population. Where the filter of one contains the other, hold"
        " back this project's outputs until the data steward has reviewed them together."
    ),
    action_fr=(
        "Ouvrez les enregistrements côte à côte : ils se suivent par effectif. Si le filtre de l'un contient celui de"
        " l'autre, retenez les sorties du projet jusqu'à ce que le responsable des données les ait examinées ensemble."
    ),
    reads=("type", "actor", "project", "template", "at", "persons"),
    blind_spots=(
        "Populations of like size may be different people altogether: the rule compares sizes, not members.",
        "Subtraction across two different templates, or by two persons, is not seen.",
        "Results for which the gateway could not say how many people stand behind them are not compared.",
        "Two results further apart in time than the window are not compared.",
    ),
    blind_spots_fr=(
        "Des populations de même taille peuvent être des personnes différentes : la règle compare des effectifs.",
        "Une soustraction entre deux gabarits différents, ou entre deux personnes, n'est pas vue.",
        "Les résultats dont la passerelle n'a pu déterminer l'effectif ne sont pas comparés.",
        "Deux résultats plus éloignés dans le temps que la fenêtre ne sont pas comparés.",
    ),
    sentences={
        SENTENCE: Sentence(
            Severity.HIGH,
            "{populations} populations of one statement within {hours} hours that differ from another one by fewer than"
            " {small_count} persons; the smallest has {smallest_population}.",
            "{populations} populations d'une même requête en {hours} heures diffèrent d'une autre de moins de"
            " {small_count} personnes ; la plus petite en compte {smallest_population}.",
        )
    },
    queries=(SQL,),
    parameters=parameters,
)

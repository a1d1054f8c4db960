"""Mass extraction: one person's day against the same person's own past.

A fixed limit would be too low for those who work with whole cohorts and too high for everybody else; the median of a
person's own active days moves with the work. The median, not the mean, so that one earlier large day hides nothing.
"""

from __future__ import annotations

from audit.alerts.clock import Span
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

OWN_PAST = "mass-extraction/own-past"
NEWCOMER = "mass-extraction/newcomer"

SQL = """
WITH daily AS (
    SELECT actor, {day} AS day, coalesce(sum("rows"), 0) AS day_rows, coalesce(sum(bytes), 0) AS day_bytes,
           count(*) AS results, min("at") AS first_at, max("at") AS last_at,
           CASE WHEN min(project) = max(project) THEN min(project) END AS project
    FROM records
    WHERE type = 'query:outcome' AND "at" >= $history_start AND "at" <= $now AND {person}
    GROUP BY ALL
), compared AS (
    SELECT *, median(day_rows) OVER past AS usual_rows, median(day_bytes) OVER past AS usual_bytes,
           count(*) OVER past AS active_days
    FROM daily
    WINDOW past AS (PARTITION BY actor ORDER BY day RANGE BETWEEN $history_days PRECEDING AND 1 PRECEDING)
), flagged AS (
    SELECT *, active_days < $history_active_days AS newcomer
    FROM compared
    WHERE day >= $start_day AND CASE
        WHEN active_days < $history_active_days THEN day_rows > $newcomer_rows OR day_bytes > $newcomer_bytes
        ELSE (day_rows > $floor_rows AND day_rows > $factor * usual_rows)
          OR (day_bytes > $floor_bytes AND day_bytes > $factor * usual_bytes) END
), evidence AS (
    SELECT actor, {day} AS day, arg_max("index", coalesce("rows", 0), 20) AS records
    FROM records
    WHERE type = 'query:outcome' AND "at" >= $start AND "at" <= $now AND actor IN (SELECT actor FROM flagged)
    GROUP BY ALL
)
SELECT [actor, day::VARCHAR] AS scope,
       CASE WHEN newcomer THEN 'mass-extraction/newcomer' ELSE 'mass-extraction/own-past' END AS sentence,
       actor, project, first_at, last_at, records, day, results::BIGINT AS results, day_rows::BIGINT AS "rows",
       day_bytes::BIGINT AS bytes, coalesce(usual_rows, 0)::BIGINT AS usual_rows,
       coalesce(usual_bytes, 0)::BIGINT AS usual_bytes, active_days::BIGINT AS active_days
FROM flagged JOIN evidence USING (actor, day)
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters."""
    section = thresholds.mass_extraction
    return {
        "history_start": span.midnight(section.history_days),
        "history_days": section.history_days,
        "history_active_days": section.history_active_days,
        "factor": section.factor,
        "floor_rows": section.floor_rows,
        "floor_bytes": section.floor_bytes,
        "newcomer_rows": section.newcomer_rows,
        "newcomer_bytes": section.newcomer_bytes,
    }


RULE = Rule(
    id="mass-extraction",
    title="Mass extraction",
    title_fr="Extraction massive",
    meaning=(
        "In one day a person received far more rows or bytes than on an ordinary day of their own, or, without a past"
        " to compare with, more than a newcomer is allowed."
    ),
    meaning_fr=(
        "En une journée, une personne a reçu beaucoup plus de lignes ou d'octets que lors d'une de ses journées"
        " habituelles ou, faute d'historique, plus que ce qui est admis pour une nouvelle personne."
    ),
    action=(
        "Open the day's largest results and compare their tables with the purpose of the permit. Ask the person what"
        " the analysis needs whole rows for. If there is no answer that fits, ask for access to be revoked."
    ),
    action_fr=(
        "Ouvrez les résultats les plus volumineux de la journée et comparez les tables consultées à la finalité du"
        " permis. Demandez à la personne pourquoi l'analyse exige des lignes entières. À défaut d'explication"
        " satisfaisante, demandez la révocation de l'accès."
    ),
    reads=("type", "actor", "project", "at", "rows", "bytes"),
    blind_spots=(
        "Extraction spread evenly over many days becomes the person's own past.",
        "Two persons who share the work each stay below their own limit.",
        "Files that never passed the gateway, such as a spreadsheet brought in, are not counted.",
    ),
    blind_spots_fr=(
        "Une extraction étalée régulièrement sur de nombreux jours devient l'historique de la personne.",
        "Deux personnes qui se partagent le travail restent chacune sous leur propre limite.",
        "Les fichiers qui ne sont jamais passés par la passerelle ne sont pas comptés.",
    ),
    sentences={
        OWN_PAST: Sentence(
            Severity.HIGH,
            "{rows} rows ({bytes} bytes) on {day}; the median of {active_days} active days before is {usual_rows} rows"
            " ({usual_bytes} bytes).",
            "{rows} lignes ({bytes} octets) le {day} ; la médiane des {active_days} jours d'activité précédents est de"
            " {usual_rows} lignes ({usual_bytes} octets).",
        ),
        NEWCOMER: Sentence(
            Severity.HIGH,
            "{rows} rows ({bytes} bytes) on {day} by a person with {active_days} active days before.",
            "{rows} lignes ({bytes} octets) le {day} pour une personne n'ayant que {active_days} jours d'activité"
            " antérieurs.",
        ),
    },
    queries=(SQL,),
    parameters=parameters,
)

"""Log health: what the log says about itself, so that trouble with the watchers is itself watched."""

from __future__ import annotations

from audit.alerts.clock import Span
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

LOG_FULL = "log-health/log-full"
CLOCK_JUMPED = "log-health/clock-jumped"
WITNESS_LOST = "log-health/witness-lost"
CANARY_MISSING = "log-health/canary-missing"
RULE_FAILED = "log-health/rule-failed"
ALERTS_WITHHELD = "log-health/alerts-withheld"

LOG_FULL_SQL = """
SELECT ['log-full', day::VARCHAR] AS scope, 'log-health/log-full' AS sentence, NULL AS actor, NULL AS project,
       min("at") AS first_at, max("at") AS last_at, min("index", 20) AS records, day, count(*) AS times
FROM (
    SELECT "index", "at", {day} AS day FROM records
    WHERE type = 'audit:log-full' AND "at" >= $start AND "at" <= $now
)
GROUP BY day
"""

CLOCK_SQL = """
WITH jumps AS (
    SELECT "index", "at", {day} AS day, try_cast(leaf->>'$.counts.seconds' AS BIGINT) AS seconds FROM records
    WHERE type = 'audit:clock-jumped' AND "at" >= $start AND "at" <= $now
)
SELECT ['clock-jumped', day::VARCHAR] AS scope, 'log-health/clock-jumped' AS sentence, NULL AS actor, NULL AS project,
       min("at") AS first_at, max("at") AS last_at, min("index", 20) AS records, day, count(*) AS times,
       max(seconds) AS seconds
FROM jumps
WHERE coalesce(seconds > $clock_seconds, true)
GROUP BY day
"""

# one absence: from the first 'lost' after a 'back' (or after nothing) to the next 'back' (or until now)
WITNESS_SQL = """
WITH changes AS (
    SELECT "index", "at", type, coalesce(leaf->>'$.data.name', '') AS witness FROM records
    WHERE type IN ('witness:lost', 'witness:back') AND "at" <= $now
), absences AS (
    SELECT *, lag(type) OVER events AS before,
           min(CASE WHEN type = 'witness:back' THEN "at" END) OVER later AS back_at,
           min(CASE WHEN type = 'witness:back' THEN "index" END) OVER later AS back_index
    FROM changes
    WINDOW events AS (PARTITION BY witness ORDER BY "index"),
           later AS (PARTITION BY witness ORDER BY "index" ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
)
SELECT ['witness-lost', witness, "index"::VARCHAR] AS scope, 'log-health/witness-lost' AS sentence, NULL AS actor,
       NULL AS project, "at" AS first_at, coalesce(back_at, $now) AS last_at,
       list_filter(["index", back_index], lambda place: place IS NOT NULL) AS records, witness,
       date_diff('minute', "at", coalesce(back_at, $now)) AS minutes
FROM absences
WHERE type = 'witness:lost' AND before IS DISTINCT FROM 'witness:lost' AND coalesce(back_at, $now) >= $start
  AND coalesce(back_at, $now) - "at" > to_minutes($witness_minutes::BIGINT)
"""

CANARY_SQL = """
WITH canaries AS (
    SELECT "index", subject, project, "at" AS scheduled_at, leaf->>'$.data.template_sha256' AS template,
           try_cast(leaf->>'$.data.due' AS TIMESTAMP) AS due_at
    FROM records
    WHERE type = 'canary:scheduled' AND "at" <= $now
), overdue AS (
    SELECT *, due_at + to_minutes($canary_minutes::BIGINT) AS latest_at FROM canaries
    WHERE due_at IS NOT NULL AND template IS NOT NULL AND due_at >= $start
      AND due_at + to_minutes($canary_minutes::BIGINT) < $now
)
SELECT ['canary-missing', subject, "index"::VARCHAR] AS scope, 'log-health/canary-missing' AS sentence, NULL AS actor,
       project, scheduled_at AS first_at, latest_at AS last_at, ["index"] AS records, subject AS canary,
       strftime(due_at, '%Y-%m-%dT%H:%M:%SZ') AS due, template
FROM overdue AS wanted
WHERE NOT EXISTS (
    SELECT 1 FROM records AS ran
    WHERE ran.type = 'query:intent' AND ran.template = wanted.template
      AND ran.project IS NOT DISTINCT FROM wanted.project
      AND ran."at" >= wanted.scheduled_at AND ran."at" <= wanted.latest_at
)
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters."""
    section = thresholds.log_health
    return {
        "clock_seconds": section.clock_seconds,
        "witness_minutes": section.witness_minutes,
        "canary_minutes": section.canary_minutes,
    }


RULE = Rule(
    id="log-health",
    title="Trouble with the log itself",
    title_fr="Anomalie du journal lui-même",
    meaning=(
        "The log ran full, its clock jumped back, a witness stayed away, a canary query did not arrive, a rule could"
        " not be evaluated, or more alerts were found than are recorded. Until it is mended, the log proves less."
    ),
    meaning_fr=(
        "Le journal a été plein, son horloge a reculé, un témoin est resté absent, une requête canari n'est pas"
        " arrivée, une règle n'a pu être évaluée, ou plus d'alertes ont été trouvées qu'il n'en est enregistré. Tant"
        " que la cause subsiste, le journal prouve moins."
    ),
    action=(
        "Tell the administrator the same day, and verify the log with a checkpoint kept elsewhere. A missing canary"
        " means that a query ran unrecorded or not at all: find out which before anything else."
    ),
    action_fr=(
        "Prévenez l'administrateur le jour même et vérifiez le journal avec un point de contrôle conservé ailleurs. Un"
        " canari manquant signifie qu'une requête n'a pas été enregistrée ou n'a pas été exécutée : établissez d'abord"
        " lequel des deux."
    ),
    reads=("type", "subject", "project", "template", "at", "leaf (counts.seconds, data.name, data.due)"),
    blind_spots=(
        "A log that stands still cannot say so: the verifier's completeness check looks for missing heartbeats.",
        "Anybody's query with the canary's template in its project counts as the canary.",
        "A witness removed from the policy while lost stays lost.",
    ),
    blind_spots_fr=(
        "Un journal arrêté ne peut pas le dire : le contrôle de complétude cherche les battements manquants.",
        "Toute requête du projet ayant le gabarit du canari compte comme le canari.",
        "Un témoin retiré de la politique pendant son absence reste absent.",
    ),
    sentences={
        LOG_FULL: Sentence(
            Severity.CRITICAL,
            "The log's disk was full {times} times on {day}; nothing was answered meanwhile.",
            "Le disque du journal a été plein {times} fois le {day} ; rien n'a reçu de réponse pendant ce temps.",
        ),
        CLOCK_JUMPED: Sentence(
            Severity.MEDIUM,
            "The clock jumped back {times} times on {day}, at most {seconds} seconds.",
            "L'horloge a reculé {times} fois le {day}, de {seconds} secondes au plus.",
        ),
        WITNESS_LOST: Sentence(
            Severity.HIGH,
            "Witness {witness} was away for {minutes} minutes.",
            "Le témoin {witness} a été absent pendant {minutes} minutes.",
        ),
        CANARY_MISSING: Sentence(
            Severity.CRITICAL,
            "The canary query due at {due} does not stand in the log.",
            "La requête canari attendue à {due} ne figure pas dans le journal.",
        ),
        RULE_FAILED: Sentence(
            Severity.CRITICAL,
            "The rule {failed_rule} could not be evaluated on {day} ({error}).",
            "La règle {failed_rule} n'a pu être évaluée le {day} ({error}).",
        ),
        ALERTS_WITHHELD: Sentence(
            Severity.CRITICAL,
            "{withheld} alerts found on {day} wait to be recorded; {recorded} were recorded within 24 hours.",
            "{withheld} alertes trouvées le {day} attendent d'être enregistrées ; {recorded} l'ont été en 24 heures.",
        ),
    },
    queries=(LOG_FULL_SQL, CLOCK_SQL, WITNESS_SQL, CANARY_SQL),
    parameters=parameters,
)

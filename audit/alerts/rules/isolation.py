"""Isolation: what the enclave's attacks on its own sandboxes found."""

from __future__ import annotations

from audit.alerts.clock import Span
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

OPEN = "isolation/open"
NOT_RUN = "isolation/not-run"
NO_END = "isolation/no-end"

FOUND_SQL = """
SELECT ['isolation', subject] AS scope,
       CASE WHEN open > 0 THEN 'isolation/open' ELSE 'isolation/not-run' END AS sentence, NULL AS actor,
       NULL AS project, "at" AS first_at, "at" AS last_at, ["index"] AS records, open, errors, engine, probes
FROM (
    SELECT "index", "at", subject, decision, coalesce(try_cast(leaf->>'$.counts.open' AS BIGINT), 0) AS open,
           coalesce(try_cast(leaf->>'$.counts.error' AS BIGINT), 0) AS errors, leaf->>'$.data.engine' AS engine,
           array_to_string(json_extract_string(leaf, '$.data.open[*]'), ', ') AS probes
    FROM records
    WHERE type = 'selftest:finished' AND "at" >= $start AND "at" <= $now
)
WHERE decision = 'deny' OR open > 0 OR errors > 0
"""

NO_END_SQL = """
SELECT ['isolation-no-end', subject] AS scope, 'isolation/no-end' AS sentence, NULL AS actor, NULL AS project,
       "at" AS first_at, "at" AS last_at, ["index"] AS records, leaf->>'$.data.engine' AS engine
FROM records AS begun
WHERE type = 'selftest:started' AND "at" >= $start AND "at" + to_minutes($selftest_minutes::BIGINT) < $now
  AND NOT EXISTS (
      SELECT 1 FROM records AS done WHERE done.type = 'selftest:finished' AND done.subject = begun.subject
  )
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters; an open door needs no threshold."""
    return {"selftest_minutes": thresholds.isolation.minutes}


RULE = Rule(
    id="isolation",
    title="A sandbox is open",
    title_fr="Un bac à sable est ouvert",
    meaning=(
        "The enclave attacks its own workspaces on a schedule. An attack got through, or the attacks could not be"
        " carried out: until it is explained, a workspace may not hold what it promises."
    ),
    meaning_fr=(
        "L'enclave attaque ses propres espaces de travail selon un calendrier. Une attaque a abouti, ou les attaques"
        " n'ont pu être menées : tant que ce n'est pas expliqué, un espace de travail peut ne pas tenir sa promesse."
    ),
    action=(
        "Open the self-test's report and read what each open probe means. Have the administrator close workspaces"
        " until a new self-test finds nothing open. A new kernel or version, or changed settings, are the usual causes."
    ),
    action_fr=(
        "Ouvrez le rapport de l'autotest et lisez ce que signifie chaque sonde ouverte. Faites fermer les espaces de"
        " travail par l'administrateur jusqu'à ce qu'un nouvel autotest ne trouve rien d'ouvert ; un nouveau noyau, une"
        " nouvelle version ou des réglages modifiés en sont les causes habituelles."
    ),
    reads=("type", "subject", "decision", "at", "leaf (counts.open, counts.error, data.engine, data.open)"),
    blind_spots=(
        "The catalogue knows the attacks that somebody wrote down, and no others.",
        "Known residual risks and what is only noted raise no alert; the report shows them.",
        "A self-test that never runs says nothing: its last date is on the page of self-tests.",
    ),
    blind_spots_fr=(
        "Le catalogue connaît les attaques que quelqu'un a écrites, et aucune autre.",
        "Les risques résiduels connus et les simples constats ne déclenchent pas d'alerte ; le rapport les montre.",
        "Un autotest qui n'a jamais lieu ne dit rien : sa dernière date figure à la page des autotests.",
    ),
    sentences={
        OPEN: Sentence(
            Severity.CRITICAL,
            "{open} probes got through ({engine}): {probes}.",
            "{open} sondes ont abouti ({engine}) : {probes}.",
        ),
        NOT_RUN: Sentence(
            Severity.HIGH,
            "The self-test could not be carried out, or {errors} probes failed to run ({engine}).",
            "L'autotest n'a pu être mené, ou {errors} sondes n'ont pu s'exécuter ({engine}).",
        ),
        NO_END: Sentence(
            Severity.HIGH,
            "A self-test began and has no outcome ({engine}): it was stopped, or it hangs.",
            "Un autotest a commencé et n'a pas de résultat ({engine}) : il a été arrêté, ou il est bloqué.",
        ),
    },
    queries=(FOUND_SQL, NO_END_SQL),
    parameters=parameters,
)

"""Dormant account: the first activity of a person after a long time without any, or long after the account was made.

A refusal is not activity: otherwise failed log-ins by anybody would keep an account from ever looking dormant.
"""

from __future__ import annotations

from audit.alerts.clock import Span
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

SENTENCE = "dormant-account/woke"

SQL = """
WITH signs AS (
    SELECT DISTINCT actor, {day} AS day, true AS own
    FROM records
    WHERE "at" <= $now AND {person} AND decision IS DISTINCT FROM 'deny' AND NOT suffix(type, ':refused')
    UNION ALL
    SELECT subject, {day}, false FROM records
    WHERE type = 'person:created' AND subject IS NOT NULL AND "at" <= $now
), days AS (
    SELECT actor, day, bool_or(own) AS own FROM signs GROUP BY ALL
), gaps AS (
    SELECT *, day - lag(day) OVER (PARTITION BY actor ORDER BY day) AS idle_days FROM days
), woken AS (
    SELECT actor, day, idle_days FROM gaps WHERE own AND idle_days >= $dormant_days AND day >= $start_day
), evidence AS (
    SELECT actor, {day} AS day, min("at") AS first_at, max("at") AS last_at, min("index", 20) AS records,
           count(*) AS activities, CASE WHEN min(project) = max(project) THEN min(project) END AS project
    FROM records
    WHERE "at" >= $start AND "at" <= $now AND actor IN (SELECT actor FROM woken)
    GROUP BY ALL
)
SELECT [actor, day::VARCHAR] AS scope, 'dormant-account/woke' AS sentence, actor, project, first_at, last_at, records,
       day, idle_days, activities
FROM woken JOIN evidence USING (actor, day)
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters."""
    return {"dormant_days": thresholds.dormant_account.days}


RULE = Rule(
    id="dormant-account",
    title="Dormant account wakes",
    title_fr="Réveil d'un compte dormant",
    meaning=(
        "A person who had done nothing for a long time is active again, or an account made long ago is used for the"
        " first time. Forgotten accounts are taken over because nobody watches them."
    ),
    meaning_fr=(
        "Une personne restée longtemps sans activité est de nouveau active, ou un compte créé il y a longtemps sert"
        " pour la première fois. Les comptes oubliés sont détournés parce que personne ne les surveille."
    ),
    action=(
        "Ask the person, by another way than the account itself, whether they came back. See that their permit still"
        " holds. If nobody answers, have access revoked until somebody does."
    ),
    action_fr=(
        "Demandez à la personne, par une autre voie que le compte lui-même, si elle a repris son travail. Vérifiez que"
        " son permis est toujours valable. Sans réponse, faites révoquer l'accès jusqu'à confirmation."
    ),
    reads=("type", "decision", "actor", "subject", "project", "at"),
    blind_spots=(
        "One small activity now and then keeps an account from being dormant.",
        "What happened before the oldest record kept is not known: after pruning, such a person looks new.",
        "An account without a record of its creation has no past before its first activity.",
    ),
    blind_spots_fr=(
        "Une petite activité de temps à autre empêche un compte de devenir dormant.",
        "Ce qui précède le plus ancien enregistrement conservé est inconnu : après purge, la personne paraît nouvelle.",
        "Un compte dont la création n'est pas enregistrée n'a pas de passé avant sa première activité.",
    ),
    sentences={
        SENTENCE: Sentence(
            Severity.MEDIUM,
            "Active on {day} after {idle_days} days; {activities} records that day.",
            "Actif le {day} après {idle_days} jours ; {activities} enregistrements ce jour-là.",
        )
    },
    queries=(SQL,),
    parameters=parameters,
)

"""Screen volume: what was shown on a person's screens in one day."""

from __future__ import annotations

from audit.alerts.clock import Span
from audit.alerts.model import Rule, Sentence, Severity
from audit.alerts.thresholds import Thresholds

SENTENCE = "screen-volume/shown"

SQL = """
SELECT [actor, day::VARCHAR] AS scope, 'screen-volume/shown' AS sentence, actor,
       CASE WHEN min(project) = max(project) THEN min(project) END AS project,
       min("at") AS first_at, max("at") AS last_at, arg_max("index", bytes, 20) AS records, day,
       sum(bytes)::BIGINT AS bytes, coalesce(sum("rows"), 0)::BIGINT AS "rows", count(*) AS showings
FROM (
    SELECT actor, project, "index", "at", bytes, "rows", {day} AS day
    FROM records
    WHERE type = 'screen:shown' AND bytes IS NOT NULL AND "at" >= $start AND "at" <= $now AND {person}
)
GROUP BY actor, day
HAVING sum(bytes) > $screen_bytes
"""


def parameters(span: Span, thresholds: Thresholds) -> dict[str, object]:
    """The SQL's parameters."""
    return {"screen_bytes": thresholds.screen_volume.bytes}


RULE = Rule(
    id="screen-volume",
    title="Much shown on screen",
    title_fr="Volume élevé affiché à l'écran",
    meaning=(
        "More data was shown on a person's screens in one day than reading needs. What is on a screen can be"
        " photographed or read off by a program; the output review never sees it."
    ),
    meaning_fr=(
        "En une journée, plus de données ont été affichées à l'écran d'une personne que la lecture n'en demande. Un"
        " écran peut être photographié ou relevé par un programme ; l'examen des sorties n'en voit rien."
    ),
    action=(
        "See what was shown and for how long. Whole tables scrolled through at an even pace point to a program reading"
        " the screen; ask the person, and the administrator for the workspace's processes."
    ),
    action_fr=(
        "Regardez ce qui a été affiché et pendant combien de temps. Des tables entières parcourues à un rythme régulier"
        " suggèrent un programme lisant l'écran ; interrogez la personne, et l'administrateur au sujet des processus"
        " de l'espace de travail."
    ),
    reads=("type", "actor", "project", "at", "bytes", "rows"),
    blind_spots=(
        "Bytes measure what was sent to the screen, not what somebody looked at.",
        "Pictures are larger than text: figures raise the count without showing more about people.",
        "A slow reading over many days stays below the limit.",
    ),
    blind_spots_fr=(
        "Les octets mesurent ce qui a été envoyé à l'écran, non ce qui a été regardé.",
        "Les images pèsent plus que le texte : les figures augmentent le compte sans montrer plus de personnes.",
        "Une lecture lente sur de nombreux jours reste sous la limite.",
    ),
    sentences={
        SENTENCE: Sentence(
            Severity.MEDIUM,
            "{bytes} bytes ({rows} rows) shown on {day}, in {showings} showings.",
            "{bytes} octets ({rows} lignes) affichés le {day}, en {showings} affichages.",
        )
    },
    queries=(SQL,),
    parameters=parameters,
)

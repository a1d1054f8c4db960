"""The rules for readers: as Markdown for the manual, as rows for a table, and an alert as one sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import time

from audit.alerts.model import Rule, Severity
from audit.alerts.rules import RULES, RULES_BY_ID
from audit.alerts.thresholds import Thresholds, shipped_text

_NARROW_SPACE = "\u202f"
_ENGLISH = {
    "head": "# Alert rules\n",
    "intro": (
        "Evaluated every minute over the index of the log. An alert is recorded once; muting needs a reason and is"
        " recorded too. Thresholds are those of the site's file, or as shipped.\n"
    ),
    "site": "All rules",
    "means": "What it means",
    "do": "What to do",
    "reads": "Reads",
    "blind": "Does not see",
    "severity": "Severity",
    "table": "| threshold | value | unit and meaning |",
}
_FRENCH = {
    "head": "# Règles d'alerte\n",
    "intro": (
        "Évaluées chaque minute sur l'index du journal. Une alerte est enregistrée une seule fois ; la mettre en"
        " sourdine exige un motif, lui aussi enregistré. Les seuils sont ceux du site, ou ceux fournis.\n"
    ),
    "site": "Toutes les règles",
    "means": "Signification",
    "do": "Que faire",
    "reads": "Champs lus",
    "blind": "Angles morts",
    "severity": "Gravité",
    "table": "| seuil | valeur | unité et sens (en anglais) |",
}


SEVERITY_FR = {
    Severity.LOW: "faible",
    Severity.MEDIUM: "moyenne",
    Severity.HIGH: "élevée",
    Severity.CRITICAL: "critique",
}


class _Facts(dict[str, str]):
    """A fact that is not known reads as a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"


def alert_sentence(sentence_id: str, facts: Mapping[str, int | str], *, french: bool = False) -> str:
    """What an alert says, with its facts; empty for a sentence no rule has (an alert of another version)."""
    for rule in RULES:
        if found := rule.sentences.get(sentence_id):
            shown = {name: _shown(value, french) for name, value in facts.items()}
            return (found.french if french else found.english).format_map(_Facts(shown))
    return ""


def threshold_rows(section: str, thresholds: Thresholds) -> list[tuple[str, str, str]]:
    """Key, value and meaning of each threshold of a rule (or of ``site``), in the order of the shipped file."""
    values = asdict(getattr(thresholds, section.replace("-", "_")))
    return [(key, _value(values[key]), comment) for name, key, comment in _comments() if name == section]


def rules_markdown(thresholds: Thresholds, *, french: bool = False) -> str:
    """The page of all rules with the thresholds in force."""
    words = _FRENCH if french else _ENGLISH
    parts = [words["head"], words["intro"], f"## {words['site']}\n", *_threshold_table("site", thresholds, words)]
    for rule in RULES:
        parts += _rule_part(rule, thresholds, words, french)
    return "\n".join(parts)


def _rule_part(rule: Rule, thresholds: Thresholds, words: Mapping[str, str], french: bool) -> list[str]:
    title, meaning, action, blind = (
        (rule.title_fr, rule.meaning_fr, rule.action_fr, rule.blind_spots_fr)
        if french
        else (rule.title, rule.meaning, rule.action, rule.blind_spots)
    )
    colon = f"{_NARROW_SPACE}:" if french else ":"
    reads = ", ".join(f"`{name}`" for name in rule.reads)
    return [
        f"## {title} (`{rule.id}`)\n",
        f"{words['severity']}{colon} {severity_name(rule.severity, french=french)}.\n",
        f"**{words['means']}{colon}** {meaning}\n",
        f"**{words['do']}{colon}** {action}\n",
        *_threshold_table(rule.id, thresholds, words),
        f"**{words['reads']}{colon}** {reads}\n",
        f"**{words['blind']}{colon}**\n",
        *[f"- {line}" for line in blind],
        "",
    ]


def _threshold_table(section: str, thresholds: Thresholds, words: Mapping[str, str]) -> list[str]:
    rows = [f"| `{key}` | {value} | {comment} |" for key, value, comment in threshold_rows(section, thresholds)]
    return [words["table"], "| --- | --- | --- |", *rows, ""]


def _comments() -> Iterator[tuple[str, str, str]]:
    """Section, key and comment, from the shipped file: the comment is the lines right above the key."""
    section, comment = "", []
    for line in shipped_text().splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
            continue
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line:
            yield section, line.partition("=")[0].strip(), " ".join(comment)
        comment = []


def _value(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, tuple):
        return ", ".join(value) or "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number}" for key, number in value.items()) or "-"
    return str(value)


def _shown(value: int | str, french: bool) -> str:
    if isinstance(value, int):
        return f"{value:,}".replace(",", _NARROW_SPACE) if french else f"{value:,}"
    return value


def severity_name(severity: Severity, *, french: bool = False) -> str:
    """A severity in words."""
    return SEVERITY_FR[severity] if french else str(severity)


def rule_title(rule_id: str, *, french: bool = False) -> str:
    """A rule's title; its id for a rule of another version."""
    rule = RULES_BY_ID.get(rule_id)
    return rule_id if rule is None else rule.title_fr if french else rule.title

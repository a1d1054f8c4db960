"""Filters and tags of our templates: labels, sentences, status chips."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from enclave.portal.labels import REMAINS, VERBS, label_of, tone_of
from enclave.portal.sentences import translated_sentence

register = template.Library()


@register.filter
def label(value: object) -> str:
    """Translated label of a stored string."""
    return label_of(str(value))


@register.filter
def verb(value: object) -> str:
    """Translated label of a verb, for buttons."""
    return str(VERBS.get(str(value), value))


@register.filter
def remain(value: object) -> str:
    """Translated name of something that is destroyed with a project."""
    return str(REMAINS.get(str(value), value))


@register.filter
def sentence(value: object) -> str:
    """Translated sentence of a rule."""
    return translated_sentence(str(value))


@register.filter
def moment(value: object) -> datetime | None:
    """A stored ISO 8601 time in UTC, for the filter ``date``; None for what is none."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        return None


@register.filter
def split_lines(value: object) -> list[str]:
    """The lines of a text, without empty ones."""
    return [line for line in str(value).splitlines() if line.strip()]


@register.simple_tag
def chip(value: object) -> SafeString:
    """A status chip."""
    text = str(value)
    return format_html('<span class="chip chip-{}" data-state="{}">{}</span>', tone_of(text), text, label_of(text))

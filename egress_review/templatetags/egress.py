"""Filters of our templates: labels, sentences, places of findings, status chips."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from egress_review.domain.findings import Location
from egress_review.web.language import TONES, label_of, place_of, translated

register = template.Library()


@register.filter
def wording(value: object) -> str:
    """Translated label of a state, severity, verdict or check."""
    return label_of(str(value))


@register.filter
def spoken(value: str) -> str:
    """Translated sentence."""
    return translated(value)


@register.filter
def place(value: Location) -> str:
    """Where a finding points."""
    return place_of(value)


@register.simple_tag
def request_chip(value: object) -> SafeString:
    """A status chip of a state, severity or verdict."""
    text = str(value)
    tone = TONES.get(text, "plain")
    return format_html('<span class="chip chip-{}" data-state="{}">{}</span>', tone, text, label_of(text))

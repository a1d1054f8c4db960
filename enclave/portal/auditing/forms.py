"""Forms of the auditor's pages. Filters are plain GET addresses that can be kept and sent to a colleague."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from audit.alerts import MuteReason
from enclave.portal.labels import EVENTS, OWN_EVENTS

_WHEN = {"type": "datetime-local"}


def _suggest(list_id: str) -> forms.TextInput:
    return forms.TextInput(attrs={"list": list_id})


def _moment() -> forms.DateTimeInput:
    return forms.DateTimeInput(attrs=_WHEN, format="%Y-%m-%dT%H:%M")


class EventFilterForm(forms.Form):
    """Everything records can be filtered by; empty means any."""

    person = forms.CharField(label=_("Person"), required=False, max_length=120, widget=_suggest("people-names"))
    project = forms.CharField(label=_("Project"), required=False, max_length=60, widget=_suggest("project-ids"))
    dataset = forms.CharField(label=_("Dataset"), required=False, max_length=120, widget=_suggest("dataset-names"))
    table = forms.CharField(label=_("Table"), required=False, max_length=120)
    type = forms.ChoiceField(
        label=_("Event"),
        required=False,
        choices=[("", _("All events")), *({**OWN_EVENTS, **EVENTS}.items())],
    )
    decision = forms.ChoiceField(
        label=_("Decision"), required=False, choices=[("", _("Any")), ("allow", _("Allowed")), ("deny", _("Refused"))]
    )
    since = forms.DateTimeField(label=_("From (UTC)"), required=False, widget=_moment())
    until = forms.DateTimeField(label=_("To (UTC)"), required=False, widget=_moment())
    text = forms.CharField(label=_("Text"), required=False, max_length=200)
    template = forms.CharField(label=_("Form of the query"), required=False, max_length=64, widget=forms.HiddenInput)
    request = forms.CharField(label=_("Query"), required=False, max_length=120, widget=forms.HiddenInput)


class CanaryForm(forms.Form):
    """Where and within what time a test query shall run."""

    project = forms.ChoiceField(label=_("Project"))
    within = forms.ChoiceField(
        label=_("When"),
        choices=[
            ("now", _("Now")),
            ("hour", _("At some moment within an hour")),
            ("day", _("At some moment within a day")),
            ("week", _("At some moment within a week")),
        ],
    )

    def __init__(self, *args: Any, projects: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].choices = projects  # type: ignore[attr-defined]


class MuteForm(forms.Form):
    """Why an alert or a rule needs no more looking at, and until when."""

    reason = forms.ChoiceField(
        label=_("Reason"),
        choices=[
            ("", "—"),
            (MuteReason.KNOWN_ANALYSIS, _("A known analysis")),
            (MuteReason.FALSE_POSITIVE, _("A false alarm")),
            (MuteReason.AGREED_WITH_STEWARD, _("Agreed with the data steward")),
            (MuteReason.OTHER, _("Another reason")),
        ],
    )
    text = forms.CharField(
        label=_("In words"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Kept encrypted with the record; other auditors can read it."),
    )
    until = forms.DateField(
        label=_("Until"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("Empty: for good."),
    )

    def given(self) -> dict[str, Any]:
        """What the action takes; the day chosen is the last one."""
        cleaned = self.cleaned_data
        day = cleaned["until"]
        until = datetime.combine(day, time(), UTC) + timedelta(days=1) if day else None
        return {"reason": cleaned["reason"], "text": cleaned["text"], "until": until}

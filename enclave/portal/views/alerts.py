"""Alerts: the list, one alert with its records, the rules; muting with a recorded reason."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from audit.alerts import Status
from audit.alerts.rules import RULES_BY_ID
from audit.index import LogIndex, Row
from audit.reader import LogUnreadable
from enclave.domain.people import Role
from enclave.portal.actions.alerts import mute_target, unmute_target
from enclave.portal.auditing import alerts, log, rows
from enclave.portal.auditing.forms import MuteForm
from enclave.portal.permissions import SignedInRequest, requires
from enclave.portal.views.audit import record_reading

_SHOWN = ("open", "muted", "all")


@requires(Role.AUDITOR)
@require_GET
def alert_list(request: SignedInRequest) -> HttpResponse:
    """Open alerts first; ``?show=muted`` or ``all`` for the others."""
    show = request.GET.get("show", "open")
    record_reading(request.user, "alerts")
    found = alerts.all_alerts(log.fresh_index())
    names = rows.names_by_id()
    wanted = [a for a in found if show == "all" or (a.status is Status.OPEN) is (show != "muted")]
    context = {
        "alerts": [alerts.row_of(alert, names) for alert in wanted],
        "show": show if show in _SHOWN else "open",
        "counts": {
            "open": sum(a.status is Status.OPEN for a in found),
            "muted": sum(a.status is not Status.OPEN for a in found),
            "all": len(found),
        },
    }
    return render(request, "portal/alert_list.html", context)


@requires(Role.AUDITOR)
@require_GET
def alert_detail(request: SignedInRequest, key: str) -> HttpResponse:
    """One alert: what it says, what to do, and the records it rests on."""
    record_reading(request.user, "alert", data={"alert": key})
    return _alert_page(request, key, MuteForm())


def _alert_page(request: SignedInRequest, key: str, form: MuteForm, status: int = 200) -> HttpResponse:
    index = log.fresh_index()
    found = next((alert for alert in alerts.all_alerts(index) if alert.key == key), None)
    if found is None:
        raise Http404
    names = rows.names_by_id()
    context = {
        "item": alerts.row_of(found, names),
        "rows": [rows.row_of(row, names) for row in _evidence(index, found.records)],
        "form": form,
        "about_reader": found.actor == request.user.person_id,
        "muter": names.get(found.mute.by, found.mute.by) if found.mute else "",
    }
    return render(request, "portal/alert_detail.html", context, status=status)


def _evidence(index: LogIndex, places: tuple[int, ...]) -> list[Row]:
    found = []
    for place in places:
        try:
            found.append(index.row(place))
        except LogUnreadable:
            continue  # pruned since: the alert itself still says what was found
    return found


@requires(Role.AUDITOR)
@require_GET
def rule_list(request: SignedInRequest) -> HttpResponse:
    """What is looked for, what each rule cannot see, and which rules are muted."""
    record_reading(request.user, "alert-rules")
    found = alerts.rule_texts(log.fresh_index())
    context = {"rules": [(rule, MuteForm(auto_id=f"{rule.id}-%s")) for rule in found]}
    return render(request, "portal/alert_rules.html", context)


@requires(Role.AUDITOR)
@require_POST
def mute_alert(request: SignedInRequest, key: str) -> HttpResponse:
    """Mute one alert; the reason is recorded, and nobody mutes an alert about themselves."""
    found = next((alert for alert in alerts.all_alerts(log.fresh_index()) if alert.key == key), None)
    if found is None:
        raise Http404
    form = MuteForm(request.POST)
    if not form.is_valid():
        return _alert_page(request, key, form, status=400)
    mute_target(request.user, f"alert:{key}", about=found.actor, **form.given())
    messages.success(request, _("Muted. The reason is on record."))
    return redirect("alert-detail", key=key)


@requires(Role.AUDITOR)
@require_POST
def mute_rule(request: SignedInRequest, rule: str) -> HttpResponse:
    """Mute all alerts of a rule for a time; they are still recorded."""
    if rule not in RULES_BY_ID:
        raise Http404
    form = MuteForm(request.POST)
    if form.is_valid():
        mute_target(request.user, f"rule:{rule}", **form.given())
        messages.success(request, _("Muted. The reason is on record."))
    else:
        messages.error(request, _("Say why in words and choose a reason; nothing was muted."))
    return redirect("alert-rules")


@requires(Role.AUDITOR)
@require_POST
def unmute_alert(request: SignedInRequest, key: str) -> HttpResponse:
    """Look at it again; the reason is recorded."""
    unmute_target(request.user, f"alert:{key}", text=request.POST.get("text", ""))
    messages.success(request, _("No longer muted. The reason is on record."))
    return redirect("alert-detail", key=key)


@requires(Role.AUDITOR)
@require_POST
def unmute_rule(request: SignedInRequest, rule: str) -> HttpResponse:
    """End the mute of a rule."""
    if rule not in RULES_BY_ID:
        raise Http404
    unmute_target(request.user, f"rule:{rule}", text=request.POST.get("text", ""))
    messages.success(request, _("No longer muted. The reason is on record."))
    return redirect("alert-rules")

"""All addresses of the portal. Every view declares its permission (``enclave.portal.permissions``)."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path, register_converter
from django.views.i18n import set_language

from enclave.portal.converters import AlertKeyConverter, PersonIdConverter, ProjectIdConverter
from enclave.portal.views import (
    accounts,
    alerts,
    audit,
    audit_subjects,
    canaries,
    datasets,
    errors,
    home,
    internal,
    packages,
    people,
    projects,
    selftests,
    shown,
    usage,
)

register_converter(ProjectIdConverter, "project")
register_converter(PersonIdConverter, "person")
register_converter(AlertKeyConverter, "alert")
urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    path("health", home.health, name="health"),
    path("language", set_language, name="set_language"),
    path("projects/", projects.project_list, name="project-list"),
    path("apply/", projects.apply, name="apply"),
    path("projects/<project:project>/", projects.project_detail, name="project-detail"),
    path("projects/<project:project>/permit.yaml", projects.permit_file, name="project-permit"),
    path("projects/<project:project>/approve", projects.approve, name="project-approve"),
    path("projects/<project:project>/reject", projects.reject, name="project-reject"),
    path("projects/<project:project>/provision", projects.provision, name="project-provision"),
    path("projects/<project:project>/close", projects.close, name="project-close"),
    path("projects/<project:project>/packages/", packages.packages, name="packages"),
    path("projects/<project:project>/packages/<int:number>/decide", packages.decide, name="package-decide"),
    path("projects/<project:project>/packages/<slug:version>.json", packages.bill, name="packages-bill"),
    path("projects/<project:project>/usage/", usage.project_usage, name="project-usage"),
    path("usage/", usage.usage_list, name="usage-list"),
    path("usage/month.csv", usage.usage_csv, name="usage-csv"),
    path("datasets/", datasets.dataset_list, name="dataset-list"),
    path("datasets/<str:name>/<str:version>/", datasets.dataset_detail, name="dataset-detail"),
    path("datasets/<str:name>/<str:version>/permit.yaml", datasets.dataset_permit, name="dataset-permit"),
    path("people/", people.people_list, name="people-list"),
    path("people/new/", people.person_new, name="person-new"),
    path("people/<person:person>/", people.person_detail, name="person-detail"),
    path("people/<person:person>/revoke", people.revoke, name="person-revoke"),
    path("people/<person:person>/restore", people.restore, name="person-restore"),
    path("people/<person:person>/reset", accounts.order_reset, name="person-reset"),
    path("people/<person:person>/add-role", accounts.order_role, name="person-add-role"),
    path("people/<person:person>/remove-role", accounts.remove_role, name="person-remove-role"),
    path("people/<person:person>/confirm-access", accounts.confirm_access, name="person-confirm-access"),
    path("people/orders/", accounts.order_list, name="account-orders"),
    path("people/orders/<int:number>/decide", accounts.decide, name="account-order-decide"),
    path("people/review/", accounts.access_review, name="access-review"),
    path("people/review.csv", accounts.access_review_csv, name="access-review-csv"),
    path("audit/", audit.event_list, name="audit-list"),
    path("audit/verify", audit.verify, name="audit-verify"),
    path("audit/checkpoint", audit.checkpoint_file, name="audit-checkpoint"),
    path("audit/check-proof.sh", audit.proof_script, name="audit-proof-script"),
    path("audit/person/<person:person>/", audit_subjects.person, name="audit-person"),
    path("audit/project/<project:project>/", audit_subjects.project, name="audit-project"),
    path("audit/dataset/<str:name>/", audit_subjects.dataset, name="audit-dataset"),
    path("audit/query/<str:request_id>/", audit_subjects.query, name="audit-query"),
    path("audit/canaries/", canaries.canaries, name="canaries"),
    path("audit/selftests/", selftests.selftest_list, name="selftest-list"),
    path("audit/selftests/<str:name>/", selftests.selftest_detail, name="selftest-detail"),
    path("audit/shown/", shown.shown_list, name="shown-list"),
    path("audit/shown/<project:project>/", shown.shown_project, name="shown-project"),
    path("alerts/", alerts.alert_list, name="alert-list"),
    path("alerts/rules/", alerts.rule_list, name="alert-rules"),
    path("alerts/rules/<slug:rule>/mute", alerts.mute_rule, name="rule-mute"),
    path("alerts/rules/<slug:rule>/unmute", alerts.unmute_rule, name="rule-unmute"),
    path("alerts/<alert:key>/", alerts.alert_detail, name="alert-detail"),
    path("alerts/<alert:key>/mute", alerts.mute_alert, name="alert-mute"),
    path("alerts/<alert:key>/unmute", alerts.unmute_alert, name="alert-unmute"),
    path("audit/<int:index>/", audit.event_detail, name="audit-event"),
    path("audit/<int:index>/prove", audit.prove, name="audit-prove"),
    path("audit/<int:index>/record.json", audit.entry_file, name="audit-entry"),
    path("audit/<int:index>/proof", audit.proof_file, name="audit-proof"),
    path("audit/<int:index>/payload", audit.payload, name="audit-payload"),
    path("internal/workspaces/start", internal.workspace_start, name="internal-workspace-start"),
    path("internal/workspaces/token", internal.workspace_token, name="internal-workspace-token"),
    path("internal/workspaces/stopped", internal.workspace_stopped, name="internal-workspace-stopped"),
    path("accounts/", include("allauth.urls")),
    path("", include("allauth.idp.urls")),
]
if find_spec("egress_review.web.urls") is not None:
    urlpatterns.append(path("outputs/", include("egress_review.web.urls")))
    urlpatterns.append(path("internal/output-requests", include("egress_review.web.internal_urls")))

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler429 = errors.too_many

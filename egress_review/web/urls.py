"""Routes of output requests, mounted by the portal at ``/outputs/``."""

from __future__ import annotations

from django.urls import path

from egress_review.web import bytes as snapshot_bytes
from egress_review.web import pages, review

app_name = "egress_review"
urlpatterns = [
    path("", pages.request_list, name="list"),
    path("new/", pages.choose_project, name="choose"),
    path("new/<slug:project>/", pages.new_request, name="new"),
    path("<slug:request_id>/", pages.detail, name="detail"),
    path("<slug:request_id>/approve", review.approve_request, name="approve"),
    path("<slug:request_id>/reject", review.reject_request, name="reject"),
    path("<slug:request_id>/return", review.return_request, name="return"),
    path("<slug:request_id>/withdraw", pages.withdraw_request, name="withdraw"),
    path("<slug:request_id>/files/<int:position>/text", snapshot_bytes.raw_file, name="raw"),
    path("<slug:request_id>/files/<int:position>/remark", review.remark_on_file, name="remark"),
    path("<slug:request_id>/files/<int:position>/picture", snapshot_bytes.picture, name="picture"),
    path(
        "<slug:request_id>/files/<int:position>/cells/<int:cell>/<int:output>/<str:kind>",
        snapshot_bytes.notebook_picture,
        name="notebook-picture",
    ),
    path("<slug:request_id>/download/<int:position>", snapshot_bytes.download_one, name="download"),
    path("<slug:request_id>/download.zip", snapshot_bytes.download_all, name="download-all"),
    path("<slug:request_id>/receipt.jws", snapshot_bytes.receipt, name="receipt"),
]

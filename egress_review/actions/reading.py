"""Having files read in the sandbox for somebody: a turn, the limits of the site, and the one process that does it.

Researchers and reviewers wait in lanes of their own: what one person keeps busy keeps no reviewer from their work. Both
lanes together leave threads of the portal for everybody else (``enclave.portal.serve``).
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.conf import settings

from egress_review.actions.recorded import refusals_recorded
from egress_review.domain.snapshots import SnapshotFile
from egress_review.models import OutputRequest
from egress_review.parsing.files import FileReader, not_shown
from egress_review.parsing.helper import Helper
from egress_review.parsing.limits import reading_limits
from egress_review.parsing.rendering import SVG, ShownFile
from egress_review.parsing.turns import BusyError, Turns
from egress_review.sdc.reading import IMAGE_TYPES, suffix_of
from enclave.portal.models import User

ASKING = Turns(own=1, all_waiting=2)
REVIEWING = Turns(own=5, all_waiting=5)
"""A browser asks for six pictures of a page at once."""
HELPER = Helper()
atexit.register(HELPER.close)


@contextmanager
def reading(user: User, lane: Turns) -> Iterator[FileReader]:
    """A turn of this person. Raises BusyError, which is a RefusedError."""
    with lane.turn(user.person_id, settings.ENCLAVE.checks_at_once):
        yield FileReader(HELPER, reading_limits(settings.ENCLAVE))


def shown_files(user: User, request: OutputRequest, contents: Mapping[str, bytes]) -> list[ShownFile]:
    """All files for the review page; what cannot be shown says why. A refused turn is recorded."""
    files, findings = list(enumerate(request.snapshot_files(), start=1)), request.all_findings()
    try:
        with (
            refusals_recorded(user, project=request.project_id, subject=request.pk),
            reading(user, REVIEWING) as reader,
        ):
            return [reader.show(position, file, contents[file.name], findings) for position, file in files]
    except BusyError as busy:
        return [not_shown(position, file, findings, busy.sentence) for position, file in files]


def shown_picture(user: User, request: OutputRequest, file: SnapshotFile, content: bytes) -> tuple[str, bytes] | None:
    """MIME type and bytes of a picture file: SVG as it is, others drawn again. Raises RefusedError (recorded)."""
    suffix = suffix_of(file.name)
    if suffix == ".svg":
        return SVG, content
    if suffix not in IMAGE_TYPES:
        return None
    with refusals_recorded(user, project=request.project_id, subject=request.pk), reading(user, REVIEWING) as reader:
        found = reader.picture(file.name, content)
    return ("image/png", found) if found is not None else None


def shown_notebook_picture(
    user: User, request: OutputRequest, file: SnapshotFile, content: bytes, cell: int, output: int, mime: str
) -> tuple[str, bytes] | None:
    """The same for one among a notebook's outputs."""
    with refusals_recorded(user, project=request.project_id, subject=request.pk), reading(user, REVIEWING) as reader:
        found = reader.notebook_picture(file.name, content, cell, output, mime)
    return (SVG if mime == SVG else "image/png", found) if found is not None else None

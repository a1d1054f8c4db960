"""What stored strings are called on the pages. A test checks that every enum value has a label."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from audit.own_events import OwnEvent
from enclave.destruction.remains import RemainKind
from enclave.domain.accounts import OrderState, ReviewState
from enclave.domain.events import EventType
from enclave.domain.packages import PackageState
from enclave.domain.people import Role
from enclave.domain.permits import Treatment
from enclave.domain.projects import ProjectState, ProjectVerb
from enclave.domain.usage import Position, StorageKind

Label = str | Promise

ROLES: dict[str, Label] = {
    Role.RESEARCHER: _("Researcher"),
    Role.DATA_STEWARD: _("Data steward"),
    Role.OUTPUT_CHECKER: _("Output checker"),
    Role.AUDITOR: _("Auditor"),
    Role.ADMIN: _("Admin"),
    Role.DATA_PROTECTION_OFFICER: _("Data-protection officer"),
}
STATES: dict[str, Label] = {
    ProjectState.SUBMITTED: _("Awaiting approval"),
    ProjectState.APPROVED: _("Approved"),
    ProjectState.REJECTED: _("Rejected"),
    ProjectState.PROVISIONING: _("Being prepared"),
    ProjectState.FAILED: _("Preparation failed"),
    ProjectState.ACTIVE: _("Active"),
    ProjectState.CLOSED: _("Closed"),
}
VERBS: dict[str, Label] = {
    ProjectVerb.APPROVE: _("Approve"),
    ProjectVerb.REJECT: _("Reject"),
    ProjectVerb.PROVISION: _("Prepare the project space"),
    ProjectVerb.ACTIVATE: _("Activate"),
    ProjectVerb.FAIL: _("Fail"),
    ProjectVerb.CLOSE: _("Close the project"),
}
TREATMENTS: dict[str, Label] = {
    Treatment.KEEP: _("as it is"),
    Treatment.PERSON_PSEUDONYM: _("person pseudonym"),
    Treatment.PSEUDONYM: _("pseudonym"),
    Treatment.SHIFT_DATE: _("shifted date"),
    Treatment.YEAR: _("year only"),
    Treatment.MONTH: _("month only"),
    Treatment.BAND: _("band"),
    Treatment.TOP: _("top-coded"),
    Treatment.TRUNCATE: _("shortened"),
}
EVENTS: dict[str, Label] = {
    EventType.SYSTEM_STARTED: _("Process started"),
    EventType.SYSTEM_STOPPED: _("Process stopped"),
    EventType.PROCESS_RESTARTED: _("Process restarted"),
    EventType.RECORD_SET_ASIDE: _("Record refused by the log: set aside"),
    EventType.LOGIN_SUCCEEDED: _("Logged in"),
    EventType.LOGIN_REFUSED: _("Log-in refused"),
    EventType.PERSON_CREATED: _("Person created"),
    EventType.PERSON_REVOKED: _("Person's access revoked"),
    EventType.PERSON_RESTORED: _("Person's access restored"),
    EventType.PERSON_CREDENTIALS_CHANGED: _("Password or second factor changed"),
    EventType.PERSON_RESET_ORDERED: _("New credentials ordered"),
    EventType.PERSON_RESET_CONFIRMED: _("Credentials reset"),
    EventType.PERSON_RESET_REFUSED: _("New credentials refused"),
    EventType.PERSON_ROLE_ORDERED: _("Further role ordered"),
    EventType.PERSON_ROLE_ADDED: _("Role added"),
    EventType.PERSON_ROLE_REFUSED: _("Further role refused"),
    EventType.PERSON_ROLE_REMOVED: _("Role taken away"),
    EventType.PERSON_ACCESS_REVIEWED: _("Access reviewed"),
    EventType.DATASET_REGISTERED: _("Dataset registered"),
    EventType.TOKEN_ISSUED: _("Token issued"),
    EventType.TOKEN_REFUSED: _("Token refused"),
    EventType.APPLICATION_SUBMITTED: _("Application submitted"),
    EventType.APPLICATION_REFUSED: _("Application refused"),
    EventType.APPLICATION_APPROVED: _("Application approved"),
    EventType.APPLICATION_REJECTED: _("Application rejected"),
    EventType.PROJECT_PROVISIONED: _("Preparation of the project space ordered"),
    EventType.PROJECT_ACTIVATED: _("Project activated"),
    EventType.PROJECT_FAILED: _("Preparation of the project space failed"),
    EventType.PROJECT_CLOSED: _("Project closed"),
    EventType.EXTRACT_STARTED: _("Extract started"),
    EventType.EXTRACT_BUILT: _("Extract built"),
    EventType.EXTRACT_REFUSED: _("Extract refused"),
    EventType.EXTRACT_DESTROYED: _("Extract destroyed"),
    EventType.WORKSPACE_STARTED: _("Workspace started"),
    EventType.WORKSPACE_STOPPED: _("Workspace stopped"),
    EventType.WORKSPACE_REFUSED: _("Workspace refused"),
    EventType.WORKSPACE_LIMIT_REACHED: _("Workspace reached a limit"),
    EventType.WORKSPACE_EXPOSURE_WARNED: _("Most of the day's display budget used"),
    EventType.WORKSPACE_EXPOSURE_SLOWED: _("Display budget used up: slowed down"),
    EventType.WORKSPACE_EXPOSURE_STOPPED: _("Display stopped for the day"),
    EventType.CLUSTER_STARTED: _("Dask cluster started"),
    EventType.CLUSTER_STOPPED: _("Dask cluster stopped"),
    EventType.CLUSTER_REFUSED: _("Dask cluster refused"),
    EventType.SCREEN_SHOWN: _("Shown on screen"),
    EventType.HOME_DESTROYED: _("Home destroyed"),
    EventType.SCRATCH_DESTROYED: _("Scratch space destroyed"),
    EventType.SHARED_FOLDER_CREATED: _("Shared folder made"),
    EventType.SHARED_FOLDER_FULL: _("Shared folder full"),
    EventType.SHARED_FOLDER_DESTROYED: _("Shared folder destroyed"),
    EventType.SHOWN_ARCHIVE_KEY_SET: _("Key of the screen archive set"),
    EventType.SHOWN_ARCHIVE_LISTED: _("Screen archive listed"),
    EventType.SHOWN_ARCHIVE_READ: _("Screen archive read"),
    EventType.SHOWN_ARCHIVE_REFUSED: _("Reading of the screen archive refused"),
    EventType.SHOWN_ARCHIVE_DESTROYED: _("Screen archive destroyed"),
    EventType.QUERY_INTENT: _("Query about to run"),
    EventType.QUERY_OUTCOME: _("Query finished"),
    EventType.QUERY_REFUSED: _("Query refused"),
    EventType.OUTPUT_REQUEST_SUBMITTED: _("Output request submitted"),
    EventType.OUTPUT_REQUEST_REFUSED: _("Output request refused"),
    EventType.OUTPUT_REQUEST_APPROVED: _("Output request approved"),
    EventType.OUTPUT_REQUEST_REJECTED: _("Output request rejected"),
    EventType.OUTPUT_REQUEST_RETURNED: _("Output request sent back for changes"),
    EventType.OUTPUT_REQUEST_REMARKED: _("Remark on an output request"),
    EventType.OUTPUT_REQUEST_WITHDRAWN: _("Output request withdrawn"),
    EventType.OUTPUT_REQUEST_RELEASED: _("Output released"),
    EventType.OUTPUT_REQUEST_DOWNLOADED: _("Output downloaded"),
    EventType.OUTPUT_REQUEST_CHECKED: _("Outbox checked"),
    EventType.OUTPUT_REQUEST_VIEWED: _("Output request viewed"),
    EventType.PACKAGE_REQUEST_SUBMITTED: _("Package asked for"),
    EventType.PACKAGE_REQUEST_REFUSED: _("Package request refused"),
    EventType.PACKAGE_REQUEST_APPROVED: _("Package approved"),
    EventType.PACKAGE_REQUEST_REJECTED: _("Package rejected"),
    EventType.PACKAGE_REQUEST_WITHDRAWN: _("Package request withdrawn"),
    EventType.PACKAGE_REQUEST_RETRIED: _("Package ordered once more"),
    EventType.PACKAGE_REQUEST_DELIVERED: _("Package added"),
    EventType.PACKAGE_REQUEST_FAILED: _("Package could not be added"),
    EventType.PACKAGE_REQUEST_REMOVED: _("Package removed"),
    EventType.PACKAGE_FETCH_REFUSED: _("Package mirror led elsewhere: refused"),
    EventType.USAGE_VIEWED: _("Usage viewed"),
    EventType.AUDIT_READ: _("Audit log read"),
    EventType.CANARY_SCHEDULED: _("Test query ordered"),
    EventType.SELFTEST_STARTED: _("Self-test begun"),
    EventType.SELFTEST_FINISHED: _("Self-test finished"),
    EventType.ALERT_RAISED: _("Alert raised"),
    EventType.ALERT_MUTED: _("Alert muted"),
    EventType.ALERT_UNMUTED: _("Alert no longer muted"),
    EventType.ACTION_REFUSED: _("Action refused"),
    EventType.ACTION_FAILED: _("Action failed"),
}
POSITIONS: dict[str, Label] = {
    Position.CPU_HOUR: _("Processor, CPU-hours"),
    Position.MEMORY_GB_HOUR: _("Memory, GB-hours"),
    Position.STORAGE_GB_MONTH: _("Storage, GB-months"),
    Position.THOUSAND_QUERIES: _("Queries, thousands"),
}
STORAGE: dict[str, Label] = {
    StorageKind.HOME: _("Homes of the members"),
    StorageKind.OUTBOX: _("Outboxes"),
    StorageKind.SHARED: _("Shared folder"),
    StorageKind.SCRATCH: _("Intermediate results"),
    StorageKind.EXTRACTS: _("Extracts"),
    StorageKind.PACKAGES: _("Added packages"),
    StorageKind.VAULT: _("Snapshots of output requests"),
    StorageKind.SHOWN: _("Archive of the screen"),
}
OWN_EVENTS: dict[str, Label] = {
    OwnEvent.STARTED: _("Log started"),
    OwnEvent.STOPPED: _("Log stopped"),
    OwnEvent.HEARTBEAT: _("Log's sign of life"),
    OwnEvent.READ: _("Audit log read"),
    OwnEvent.REDACTED: _("Protected parts erased"),
    OwnEvent.PRUNED: _("Old records removed"),
    OwnEvent.LOG_FULL: _("Log full"),
    OwnEvent.LOG_SPACE: _("Log has space again"),
    OwnEvent.CLOCK_JUMPED: _("Clock jumped back"),
    OwnEvent.WITNESS_CONFIGURED: _("Witness configured"),
    OwnEvent.WITNESS_LOST: _("Witness does not answer"),
    OwnEvent.WITNESS_BACK: _("Witness answers again"),
    OwnEvent.ANCHOR_RECEIVED: _("Time stamp received"),
}
"""What the audit daemon writes of itself."""
REMAINS: dict[str, Label] = {
    RemainKind.EXTRACT: _("Extract"),
    RemainKind.SHARED_FOLDER: _("Shared folder"),
    RemainKind.HOME: pgettext_lazy("destroyed", "Home"),
    RemainKind.SCRATCH: _("Scratch space"),
}
"""What is destroyed with a project."""
OTHERS: dict[str, Label] = {
    "allow": _("Allowed"),
    "deny": _("Refused"),
    "running": pgettext_lazy("workspace", "Running"),
    "stopped": pgettext_lazy("workspace", "Stopped"),
    "revoked": _("Revoked"),
    "in-use": _("Has access"),
    "first-password": _("First password"),
    "released": _("Released"),
    "withdrawn": _("Withdrawn"),
    PackageState.AVAILABLE: _("Available"),
    PackageState.REMOVED: _("Removed"),
    "found": _("Recorded"),
    "waiting": _("Waiting"),
    "missing": _("Missing"),
    "low": _("Low"),
    "medium": _("Medium"),
    "high": _("High"),
    "critical": _("Critical"),
    "open": _("Open"),
    "muted": _("Muted"),
    "muted-for-ever": _("Muted for good"),
    OrderState.CONFIRMED: _("Confirmed"),
    OrderState.REFUSED: _("Turned down"),
    OrderState.EXPIRED: _("Expired after 24 hours"),
    ReviewState.CURRENT: _("Up to date"),
    ReviewState.SOON: _("Due soon"),
    ReviewState.DUE: _("Review due"),
    ReviewState.ENDED: _("No access"),
}
LABELS: dict[str, Label] = {**OTHERS, **POSITIONS, **STORAGE, **ROLES, **STATES, **TREATMENTS, **OWN_EVENTS, **EVENTS}

_TONES: dict[str, str] = {
    ProjectState.SUBMITTED: "wait",
    ProjectState.APPROVED: "info",
    ProjectState.REJECTED: "bad",
    ProjectState.PROVISIONING: "wait",
    ProjectState.FAILED: "bad",
    ProjectState.ACTIVE: "good",
    ProjectState.CLOSED: "plain",
    "allow": "good",
    "deny": "bad",
    "running": "good",
    "stopped": "plain",
    "revoked": "bad",
    "in-use": "good",
    "first-password": "wait",
    "released": "good",
    "withdrawn": "plain",
    PackageState.AVAILABLE: "good",
    PackageState.REMOVED: "plain",
    "queued": "wait",
    "found": "good",
    "waiting": "wait",
    "missing": "bad",
    "low": "plain",
    "medium": "info",
    "high": "wait",
    "critical": "bad",
    "open": "wait",
    "muted": "plain",
    "muted-for-ever": "plain",
    OrderState.CONFIRMED: "good",
    OrderState.REFUSED: "bad",
    OrderState.EXPIRED: "plain",
    ReviewState.CURRENT: "good",
    ReviewState.SOON: "wait",
    ReviewState.DUE: "bad",
    ReviewState.ENDED: "plain",
}


def label_of(value: str) -> str:
    """The translated label; a string without one is shown as it is."""
    return str(LABELS.get(value, value))


def tone_of(value: str) -> str:
    """Colour of a status chip: good, wait, bad, info or plain."""
    if value in ROLES:
        return "plain"
    return _TONES.get(value, "info")

"""The codings of FHIR R4 AuditEvent that our records need: DICOM, HL7 and IHE BALP 1.1.4. Pure tables."""

from __future__ import annotations

from dataclasses import dataclass

from audit.exports.kinds import Activity, Result

DCM = "http://dicom.nema.org/resources/ontology/DCM"
REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ROLE_CLASS = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
SECURITY_ROLE = "http://terminology.hl7.org/CodeSystem/extra-security-role-type"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
BALP_ENTITY = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
BALP_AUTHZ = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"
BALP_PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."

SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
"""AuditEvent.outcome. A refusal ends the action: serious failure, as in BALP's example of a denied authorisation."""


@dataclass(frozen=True)
class Code:
    """A FHIR Coding."""

    system: str
    code: str
    display: str

    def coding(self) -> dict[str, str]:
        """As JSON."""
        return {"system": self.system, "code": self.code, "display": self.display}

    def concept(self) -> dict[str, list[dict[str, str]]]:
        """As a CodeableConcept."""
        return {"coding": [self.coding()]}


SOURCE_ROLE = Code(DCM, "110153", "Source Role ID")
DESTINATION_ROLE = Code(DCM, "110152", "Destination Role ID")
APPLICATION = Code(DCM, "110150", "Application")
CUSTODIAN = Code("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian", "Custodian")
AUTHORIZER = Code(SECURITY_ROLE, "authserver", "authorization server")
ORGANIZATION = Code(ROLE_CLASS, "PROV", "healthcare provider")
RECIPIENT = Code(PARTICIPATION, "IRCP", "information recipient")
AUTHOR = Code(PARTICIPATION, "AUT", "author (originator)")
RESEARCH = Code(ACT_REASON, "HRESCH", "healthcare research")
SECURITY_SERVER = Code(SOURCE_TYPE, "6", "Security Server")

SYSTEM_OBJECT = Code(ENTITY_TYPE, "2", "System Object")
OTHER = Code(ENTITY_TYPE, "4", "Other")
REQUEST_ID = Code(BALP_ENTITY, "XrequestId", "transport specific unique identifier where http X-Request-Id is used")
DOMAIN_RESOURCE = Code(OBJECT_ROLE, "4", "Domain Resource")
SECURITY_RESOURCE = Code(OBJECT_ROLE, "13", "Security Resource")
QUERY_ROLE = Code(OBJECT_ROLE, "24", "Query")

_RESTFUL = Code(REST, "rest", "RESTful Operation")
_SECURITY_ALERT = Code(DCM, "110113", "Security Alert")
_AUTHENTICATION = Code(DCM, "110114", "User Authentication")
_APPLICATION_ACTIVITY = Code(DCM, "110100", "Application Activity")


@dataclass(frozen=True)
class Shape:
    """How one activity stands in an AuditEvent. ``profile``: the BALP profile met when it succeeded, if any."""

    type: Code
    subtype: Code | None
    action: str
    profile: str | None = None


SHAPES = {
    Activity.QUERY: Shape(_RESTFUL, Code(INTERACTION, "search", "search"), "E", "Query"),
    Activity.READ: Shape(_RESTFUL, Code(INTERACTION, "read", "read"), "R", "Read"),
    Activity.CREATE: Shape(_RESTFUL, Code(INTERACTION, "create", "create"), "C", "Create"),
    Activity.UPDATE: Shape(_RESTFUL, Code(INTERACTION, "update", "update"), "U", "Update"),
    Activity.DELETE: Shape(_RESTFUL, Code(INTERACTION, "delete", "delete"), "D", "Delete"),
    # BALP's PrivacyDisclosure and AuthZconsent demand a Patient: our records name none, so no profile is claimed
    Activity.EXPORT: Shape(
        Code(DCM, "110106", "Export"), Code(LIFECYCLE, "disclose", "Disclose Record Lifecycle Event"), "R"
    ),
    Activity.DECISION: Shape(
        _SECURITY_ALERT, Code(BALP_AUTHZ, "AuthZ-Role", "Authorization Decision using only Roles"), "E"
    ),
    Activity.LOGIN: Shape(_AUTHENTICATION, Code(DCM, "110122", "Login"), "E"),
    Activity.TOKEN: Shape(_AUTHENTICATION, None, "E"),
    Activity.ACCOUNT: Shape(_SECURITY_ALERT, Code(DCM, "110137", "User Security Attributes Changed"), "U"),
    Activity.LIFECYCLE: Shape(_APPLICATION_ACTIVITY, None, "E"),
    Activity.LOG_READ: Shape(Code(DCM, "110101", "Audit Log Used"), None, "R"),
    Activity.ALERT: Shape(_SECURITY_ALERT, None, "E"),
}

LIFECYCLE_STEPS = {
    "start": Code(DCM, "110120", "Application Start"),
    "stop": Code(DCM, "110121", "Application Stop"),
}

OUTCOMES = {Result.DONE: SUCCESS, Result.DENIED: SERIOUS_FAILURE, Result.FAILED: MINOR_FAILURE}

"""The formats by name; each is imported when it is asked for, as OTLP needs a library of its own."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from audit.exports.message import Format


class FormatName(StrEnum):
    """As written in the configuration."""

    FHIR = "fhir"
    OCSF = "ocsf"
    SYSLOG = "syslog"
    OTLP = "otlp"


def load_format(name: FormatName) -> Format:
    """The format of that name."""
    match name:
        case FormatName.FHIR:
            from audit.exports.formats.fhir import FhirFormat

            return FhirFormat()
        case FormatName.OCSF:
            from audit.exports.formats.ocsf import OcsfFormat

            return OcsfFormat()
        case FormatName.SYSLOG:
            from audit.exports.formats.syslog import SyslogFormat

            return SyslogFormat()
        case FormatName.OTLP:
            from audit.exports.formats.otlp import OtlpFormat

            return OtlpFormat()
        case _ as never:
            assert_never(never)

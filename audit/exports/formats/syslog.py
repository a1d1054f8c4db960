"""RFC 5424 messages, framed by octet counting (RFC 5425 section 4.3, RFC 6587 section 3.4.1). Pure.

Facility 13 (log audit). The structured data names the record and the people; MSG is the leaf as JSON behind the UTF-8
byte order mark. RFC 5425 asks receivers to take 2,048 octets and advises 8,192: a longer message loses ``data``, then
``counts``, from MSG and says so in ``shortened``; the record itself stays one proof away. Control characters in a
parameter are written ``#ooo`` (octal), as RFC 5424 section 6.4 allows and receivers that cut at newlines need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audit.event import timestamp
from audit.exports.kinds import Severity, kind_of
from audit.exports.message import Message, SiteFacts, policies_of, recorded_at, text_of
from audit.reader import LogEntry

FACILITY_AUDIT = 13
MAX_OCTETS = 8192
BOM = b"\xef\xbb\xbf"
NIL = "-"
APP_NAME = "enclave-audit"

_SEVERITIES = {Severity.INFO: 6, Severity.NOTICE: 5, Severity.WARNING: 4, Severity.ERROR: 3, Severity.CRITICAL: 2}
_ESCAPED = re.compile(r'["\\\]]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_NAME = re.compile(r"[^\x21-\x7e]")
_NOT_SD_NAME = re.compile(r'[^\x21-\x7e]|[="\]]')


def escape_value(value: str) -> str:
    """PARAM-VALUE: a backslash before double quote, backslash and closing bracket (section 6.3.3), and no others."""
    visible = _CONTROL.sub(lambda found: f"#{ord(found[0]):03o}", value)
    return _ESCAPED.sub(lambda found: "\\" + found[0], visible)


def header_field(value: str | None, limit: int) -> str:
    """HOSTNAME, APP-NAME, PROCID or MSGID: printable ASCII up to ``limit``; NILVALUE when nothing is left."""
    return _NOT_NAME.sub("", value or "")[:limit] or NIL


def element(sd_id: str, parameters: Iterable[tuple[str, str]]) -> str:
    """One SD-ELEMENT."""
    name = _NOT_SD_NAME.sub("", sd_id)
    pairs = [f'{_NOT_SD_NAME.sub("", key)[:32]}="{escape_value(value)}"' for key, value in parameters]
    return f"[{' '.join([name, *pairs])}]"


def frame(message: bytes) -> bytes:
    """MSG-LEN SP SYSLOG-MSG (RFC 5425, section 4.3)."""
    return str(len(message)).encode() + b" " + message


class SyslogFormat:
    """One RFC 5424 message per record."""

    name = "syslog"
    content_type = "application/octet-stream"

    def encode(self, entry: LogEntry, origin: str, site: SiteFacts) -> Message:
        """The message, shortened until it keeps within :data:`MAX_OCTETS` where it can be."""
        leaf = entry.leaf
        shortened: tuple[str, ...] = ()
        for dropped in ((), ("data",), ("data", "counts"), ("data", "counts", "policies")):
            shortened = dropped
            message = self._message(entry, origin, site, {k: v for k, v in leaf.items() if k not in dropped}, shortened)
            if len(message) <= MAX_OCTETS:
                break
        return Message(entry.index, entry.leaf_hash, frame(message), message)

    def join(self, messages: Sequence[Message]) -> bytes:
        """Frames one after the other."""
        return b"".join(message.body for message in messages)

    def _message(
        self, entry: LogEntry, origin: str, site: SiteFacts, shown: Mapping[str, Any], shortened: tuple[str, ...]
    ) -> bytes:
        leaf = entry.leaf
        kind = kind_of(leaf)
        peer = leaf.get("peer") or {}
        header = " ".join(
            [
                f"<{FACILITY_AUDIT * 8 + _SEVERITIES[kind.severity]}>1",
                timestamp(recorded_at(leaf)),
                header_field(site.host, 255),
                header_field(APP_NAME, 48),
                header_field(str(peer.get("pid", "")), 128),
                header_field(text_of(leaf, "type"), 32),
            ]
        )
        parameters = [("origin", origin), ("index", str(entry.index)), ("leafHash", entry.leaf_hash)]
        parameters += [("type", str(leaf.get("type"))), ("result", kind.result), ("actor", str(leaf.get("actor")))]
        for key, name in _PARAMETERS.items():
            if (value := text_of(leaf, name)) is not None:
                parameters.append((key, value))
        if "policies" not in shortened:
            parameters += [("policy", policy) for policy in policies_of(leaf)]
        parameters += [("shortened", name) for name in shortened]
        data = element(f"enclave@{site.enterprise_number}", parameters)
        text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return f"{header} {data} ".encode("utf-8", "replace") + BOM + text.encode("utf-8", "replace")


_PARAMETERS = {
    "decision": "decision",
    "project": "project",
    "workspace": "workspace",
    "subject": "subject",
    "requestId": "request_id",
    "eventId": "event_id",
    "writer": "writer",
    "boot": "boot",
}

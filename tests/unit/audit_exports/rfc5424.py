"""A small reader of RFC 5424 messages, written from the grammar of section 6 and sharing nothing with the writer."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(
    rb"<(?P<pri>[0-9]{1,3})>1 (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]{1,6})?Z) "
    rb"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
)


@dataclass(frozen=True)
class Parsed:
    priority: int
    time: str
    host: str
    msgid: str
    data: dict[str, list[tuple[str, str]]]
    text: str
    has_bom: bool


def read_message(raw: bytes) -> Parsed:
    head = _HEADER.match(raw)
    assert head, raw[:200]
    at, data = head.end(), {}
    assert raw[at : at + 1] == b"["
    while raw[at : at + 1] == b"[":
        at, name, parameters = _element(raw, at + 1)
        assert name not in data
        data[name] = parameters
    assert raw[at : at + 1] == b" "
    message = raw[at + 1 :]
    has_bom = message.startswith(b"\xef\xbb\xbf")
    text = message[3 if has_bom else 0 :].decode("utf-8")
    fields = {name: head[name].decode() for name in ("time", "host", "msgid")}
    return Parsed(int(head["pri"]), fields["time"], fields["host"], fields["msgid"], data, text, has_bom)


def _element(raw: bytes, at: int) -> tuple[int, str, list[tuple[str, str]]]:
    name = re.compile(rb'[^\x00-\x20="\]\x7f-\xff]{1,32}').match(raw, at)
    assert name, "SD-ID"
    at, parameters = name.end(), []
    while raw[at : at + 1] == b" ":
        key = re.compile(rb'([^\x00-\x20="\]\x7f-\xff]{1,32})="').match(raw, at + 1)
        assert key, "PARAM-NAME"
        at, value = key.end(), bytearray()
        while raw[at : at + 1] != b'"':
            byte = raw[at : at + 1]
            assert byte and byte != b"]", "an unescaped ']' in PARAM-VALUE"
            if byte == b"\\" and raw[at + 1 : at + 2] in (b'"', b"\\", b"]"):
                at += 1
                byte = raw[at : at + 1]
            value += byte
            at += 1
        at += 1
        parameters.append((key[1].decode(), value.decode("utf-8")))
    assert raw[at : at + 1] == b"]"
    return at + 1, name[0].decode(), parameters


def read_frames(raw: bytes) -> list[bytes]:
    """Octet counting: MSG-LEN SP SYSLOG-MSG; every octet must belong to a frame."""
    frames, at = [], 0
    while at < len(raw):
        length = re.compile(rb"([1-9][0-9]*) ").match(raw, at)
        assert length, "MSG-LEN"
        end = length.end() + int(length[1])
        assert end <= len(raw), "a frame is cut"
        frames.append(raw[length.end() : end])
        at = end
    return frames

"""Reading the records of one stretch of the log into a summary small enough to send between processes. Pure.

The summary keeps what completeness needs (numbers per writer, queries not yet ended, the log's records about itself)
and nothing about the other records. Summaries of neighbouring stretches are joined by ``audit.completeness``.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from audit.own_events import OWN_WRITER, OwnEvent

INTENT, OUTCOME = "query:intent", "query:outcome"
CANARY = "canary:scheduled"
_OWN = frozenset(str(kind) for kind in OwnEvent) - {OwnEvent.READ.value}


class Numbers:
    """The numbers seen from one writer since one start; memory grows only with what is out of order."""

    __slots__ = ("ahead", "behind", "first", "following")

    def __init__(self, number: int) -> None:
        self.first, self.following = number, number + 1
        self.ahead: set[int] = set()
        self.behind: set[int] = set()

    def add(self, number: int) -> bool:
        """False when the number was there already."""
        if number == self.following:
            self.following += 1
        elif number > self.following and number not in self.ahead:
            self.ahead.add(number)
        elif number < self.first and number not in self.behind:
            self.behind.add(number)
        else:
            return False
        while self.following in self.ahead:
            self.ahead.remove(self.following)
            self.following += 1
        return True

    def runs(self) -> list[tuple[int, int]]:
        """The numbers as ascending runs ``(first, last)`` that do not touch."""
        found = [(number, number) for number in sorted(self.behind)]
        found.append((self.first, self.following - 1))
        found += [(number, number) for number in sorted(self.ahead)]
        joined = found[:1]
        for first, last in found[1:]:
            if joined[-1][1] + 1 == first:
                joined[-1] = (joined[-1][0], last)
            else:
                joined.append((first, last))
        return joined


@dataclass(frozen=True)
class Noted:
    """A record by the log about itself, or a scheduled canary; ``before``: the time of the record before it."""

    index: int
    type: str
    at: str
    before: str
    leaf: Mapping[str, Any]

    def count(self, name: str) -> int | None:
        """A whole number among the record's counts, None when it is not there."""
        counts = self.leaf.get("counts")
        value = counts.get(name) if isinstance(counts, dict) else None
        return value if type(value) is int else None

    def text(self, name: str) -> str:
        """A text among the record's data, empty when it is not there."""
        data = self.leaf.get("data")
        value = data.get(name) if isinstance(data, dict) else None
        return value if isinstance(value, str) else ""


@dataclass
class Summary:
    """What the records of one stretch say, in their order."""

    runs: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    doubled: array[int] = field(default_factory=lambda: array("Q"))
    opened: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    noted: list[Noted] = field(default_factory=list)
    templates: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    answered: dict[int, tuple[int, str]] = field(default_factory=dict)
    back: list[tuple[int, str, str]] = field(default_factory=list)
    payloads: int = 0
    first_at: str = ""
    first_index: int = 0
    last_at: str = ""


class RecordScan:
    """Feed the records of one stretch in order, then take the ``summary``."""

    def __init__(self) -> None:
        self._summary = Summary()
        self._numbers: dict[tuple[str, str], Numbers] = {}
        self._waiting: dict[tuple[str, str], list[int]] = {}

    def take(self, entries: Sequence[bytes], base: int) -> list[int]:
        """Read records that begin at index ``base``; return the indexes of those that are no JSON objects."""
        odd = []
        summary, known, loads = self._summary, self._numbers, orjson.loads
        for index, entry in enumerate(entries, base):
            try:
                leaf = loads(entry)
            except ValueError:
                leaf = None
            if type(leaf) is not dict:
                odd.append(index)
                continue
            # ten million records pass here: first what nearly all of them are, the next one of a known writer
            try:
                numbers = known[leaf["writer"], leaf["boot"]]
                number, at, kind = leaf["seq"], leaf["at"], leaf["type"]
            except (KeyError, TypeError):
                self.add(index, leaf)
                continue
            if (
                number != numbers.following
                or numbers.ahead
                or type(number) is not int
                or type(at) is not str
                or at < summary.last_at
                or kind not in (INTENT, OUTCOME)
            ):
                self.add(index, leaf)
                continue
            numbers.following = number + 1
            summary.last_at = at
            if "payload" in leaf:
                summary.payloads += 1
            if kind == INTENT:
                self._intent(index, at, leaf)
            else:
                self._outcome(leaf.get("request_id"))
        return odd

    def add(self, index: int, leaf: Mapping[str, Any]) -> None:
        """Take one record, whatever it is."""
        writer, boot, number = leaf.get("writer"), leaf.get("boot"), leaf.get("seq")
        if type(number) is int and type(writer) is str and type(boot) is str:
            numbers = self._numbers.get((writer, boot))
            if numbers is None:
                self._numbers[writer, boot] = Numbers(number)
            elif not numbers.add(number):
                self._summary.doubled.append(index)
        at, before = leaf.get("at"), self._summary.last_at
        if type(at) is str and at:
            self._time(index, at)
        else:
            at = ""
        if "payload" in leaf:
            self._summary.payloads += 1
        kind = leaf.get("type")
        if kind == INTENT:
            self._intent(index, at, leaf)
        elif kind == OUTCOME:
            self._outcome(leaf.get("request_id"))
        elif type(kind) is str and ((writer == OWN_WRITER and kind in _OWN) or kind == CANARY):
            self._note(Noted(index, kind, at, before, leaf))

    def _time(self, index: int, at: str) -> None:
        summary = self._summary
        if not summary.first_at:
            summary.first_at, summary.first_index = at, index
        elif at < summary.last_at:
            summary.back.append((index, summary.last_at, at))
        summary.last_at = at

    def _intent(self, index: int, at: str, leaf: Mapping[str, Any]) -> None:
        request = leaf.get("request_id")
        if type(request) is str:
            opened = self._summary.opened
            if request in opened:
                # several intents under one request id: an outcome ends the latest
                opened[request].append((index, at))
            else:
                opened[request] = [(index, at)]
        data, project = leaf.get("data"), leaf.get("project")
        template = data.get("template_sha256") if type(data) is dict else None
        if type(template) is not str or type(project) is not str:
            return
        key = (project, template)
        if key not in self._summary.templates:
            self._summary.templates[key] = (index, at)
        if self._waiting:
            for canary in self._waiting.pop(key, ()):
                self._summary.answered[canary] = (index, at)

    def _outcome(self, request: object) -> None:
        if type(request) is not str:
            return
        opened = self._summary.opened.pop(request, None)
        if opened is None:
            self._summary.closed[request] = self._summary.closed.get(request, 0) + 1
        elif len(opened) > 1:
            opened.pop()
            self._summary.opened[request] = opened

    def _note(self, noted: Noted) -> None:
        self._summary.noted.append(noted)
        project = noted.leaf.get("project")
        if noted.type == CANARY and type(project) is str:
            self._waiting.setdefault((project, noted.text("template_sha256")), []).append(noted.index)

    def summary(self) -> Summary:
        """What was read so far."""
        self._summary.runs = {key: numbers.runs() for key, numbers in self._numbers.items()}
        return self._summary


def find_numbers(
    entries: Sequence[bytes], base: int, wanted: Mapping[tuple[str, str], Sequence[tuple[int, int]]]
) -> list[int]:
    """Indexes of the records that carry a wanted number of a writer and start (a second look, for doubled ones)."""
    found = []
    for index, entry in enumerate(entries, base):
        try:
            leaf = orjson.loads(entry)
        except ValueError:
            continue
        if type(leaf) is not dict:
            continue
        writer, boot, number = leaf.get("writer"), leaf.get("boot"), leaf.get("seq")
        if type(number) is not int or type(writer) is not str or type(boot) is not str:
            continue
        if any(first <= number <= last for first, last in wanted.get((writer, boot), ())):
            found.append(index)
    return found

"""Trust policies (c2sp.org/tlog-policy): which logs and witnesses are known, and which cosignatures are enough.

``parse_policy`` reads the file of octets; ``Policy.judge`` applies it to a signed checkpoint. Names are opaque octets,
held as text in which octets that are not UTF-8 stand as lone surrogates (PEP 383), so that unequal octets stay unequal.
Logs are known by Ed25519 note keys (type 1) only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from audit.checkpoint import parse_checkpoint
from audit.cosignature import CosignerKey
from audit.note import NoteError, SignedNote, VerifierKey

NONE = "none"
MAX_POLICY_BYTES = 4_000_000
MAX_LINES_OF_A_KIND = 1024
_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_Key = TypeVar("_Key", VerifierKey, CosignerKey)
_THRESHOLD = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


class PolicyError(ValueError):
    """The file is no policy; ``line`` counts from 1 (0: the file as a whole)."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"Policy line {line}: {sentence}" if line else f"Policy: {sentence}")
        self.line = line
        self.sentence = sentence


@dataclass(frozen=True)
class PolicyLog:
    """A known log; ``url`` is empty when none is given."""

    key: VerifierKey
    url: str


@dataclass(frozen=True)
class PolicyWitness:
    """A known witness; ``name`` has no meaning outside the policy; ``url`` is its submission prefix or empty."""

    name: str
    key: CosignerKey
    url: str


@dataclass(frozen=True)
class PolicyGroup:
    """Witnesses a checkpoint when at least ``threshold`` of its members do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Quorum:
    """A judgement: ``cosigned`` maps the witness's policy name to the time of its newest cosignature.

    ``log`` is the policy's log whose signature holds (None when the policy lists no log: the caller knows its log).
    ``problems`` are sentences; ``needed`` says in words what the quorum asks for.
    """

    met: bool
    cosigned: Mapping[str, datetime]
    problems: tuple[str, ...]
    needed: str
    log: VerifierKey | None = None


@dataclass(frozen=True)
class Policy:
    """A parsed policy; ``quorum`` is the name of a witness or group, or ``none``; groups stand in file order."""

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[PolicyGroup, ...]
    quorum: str

    def is_met_by(self, cosigned: Collection[str]) -> bool:
        """True when cosignatures by exactly these witnesses (policy names) satisfy the quorum."""
        if self.quorum == NONE:
            return True
        witnessed = {witness.name for witness in self.witnesses} & set(cosigned)
        for group in self.groups:
            if sum(member in witnessed for member in group.members) >= group.threshold:
                witnessed.add(group.name)
        return self.quorum in witnessed

    @property
    def needed(self) -> str:
        """The quorum in words, groups written out."""
        if self.quorum == NONE:
            return "no cosignature"
        words = {witness.name: printable(witness.name) for witness in self.witnesses}
        for group in self.groups:
            members = ", ".join(words[member] for member in group.members)
            words[group.name] = f"{group.threshold} of ({members})" if len(group.members) > 1 else members
        return words[self.quorum]

    def judge(self, note: SignedNote) -> Quorum:
        """Apply the policy to a signed checkpoint. Unknown keys are ignored; a known key that fails spoils the note."""
        try:
            origin = parse_checkpoint(note).origin
        except NoteError as error:
            return Quorum(False, {}, (str(error),), self.needed)
        problems: list[str] = []
        log = self._find_log(note, origin, problems)
        cosigned = self._find_cosigned(note, problems)
        if self.logs and log is None:
            problems.append(f"No log of the policy has signed this checkpoint of {origin}.")
        spoilt = bool(problems)
        enough = self.is_met_by(cosigned)
        if not enough:
            names = ", ".join(printable(name) for name in sorted(cosigned)) or "nobody"
            problems.append(f"Expected cosignatures by {self.needed}, found {names}.")
        return Quorum(enough and not spoilt, cosigned, tuple(problems), self.needed, log)

    def _find_log(self, note: SignedNote, origin: str, problems: list[str]) -> VerifierKey | None:
        found = None
        for log in self.logs:
            for signature in filter(log.key.owns, note.signatures):
                try:
                    log.key.check(note.text, signature)
                except NoteError as error:
                    problems.append(str(error))
                else:
                    found = log.key if log.key.name == origin else found
        return found

    def _find_cosigned(self, note: SignedNote, problems: list[str]) -> dict[str, datetime]:
        cosigned: dict[str, datetime] = {}
        for witness in self.witnesses:
            for signature in filter(witness.key.owns, note.signatures):
                try:
                    at = witness.key.check(note.text, signature)
                except NoteError as error:
                    problems.append(str(error))
                else:
                    cosigned[witness.name] = max(at, cosigned.get(witness.name, at))
        return cosigned


@dataclass
class _Reading:
    logs: list[PolicyLog] = field(default_factory=list)
    witnesses: list[PolicyWitness] = field(default_factory=list)
    groups: list[PolicyGroup] = field(default_factory=list)
    defined: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    quorum: str | None = None


def parse_policy(text: bytes) -> Policy:
    """Read a policy file; raise :class:`PolicyError` that names the line."""
    if len(text) > MAX_POLICY_BYTES:
        raise PolicyError(0, f"Expected at most {MAX_POLICY_BYTES} bytes, found {len(text)}.")
    reading = _Reading()
    lines = text.split(b"\n")
    for number, line in enumerate(lines, 1):
        forbidden = _FORBIDDEN.search(line)
        if forbidden:
            value = forbidden[0][0]
            raise PolicyError(number, f"Control characters other than tab and newline are not allowed: 0x{value:02x}.")
        if number == len(lines):
            if line:
                raise PolicyError(number, "The last line does not end in a newline; the file may have been cut short.")
            break
        words = [word.decode("utf-8", "surrogateescape") for word in re.split(rb"[ \t]+", line.strip(b" \t")) if word]
        if words and not words[0].startswith("#"):
            _read_line(reading, number, words)
    if reading.quorum is None:
        raise PolicyError(0, "There is no quorum line; add 'quorum NAME' (or 'quorum none').")
    return Policy(tuple(reading.logs), tuple(reading.witnesses), tuple(reading.groups), reading.quorum)


def _read_line(reading: _Reading, number: int, words: list[str]) -> None:
    keyword, *arguments = words
    reader = _READERS.get(keyword)
    if reader is None:
        sentence = f"Expected a line that begins with log, witness, group or quorum, found '{printable(keyword)[:40]}'."
        raise PolicyError(number, sentence)
    reader(reading, number, arguments)
    if max(len(reading.logs), len(reading.witnesses), len(reading.groups)) > MAX_LINES_OF_A_KIND:
        raise PolicyError(number, f"A policy may hold {MAX_LINES_OF_A_KIND} logs, witnesses and groups each.")


def _read_log(reading: _Reading, number: int, arguments: list[str]) -> None:
    if len(arguments) not in (1, 2):
        raise PolicyError(number, f"Expected 'log VKEY [URL]', found {len(arguments)} words after 'log'.")
    key = _read_key(VerifierKey.parse, number, arguments[0])
    if any(log.key.public == key.public for log in reading.logs):
        raise PolicyError(number, "Another log line has the same public key; keep one of them.")
    reading.logs.append(PolicyLog(key, "".join(arguments[1:])))


def _read_witness(reading: _Reading, number: int, arguments: list[str]) -> None:
    if len(arguments) not in (2, 3):
        raise PolicyError(number, f"Expected 'witness NAME VKEY [URL]', found {len(arguments)} words after 'witness'.")
    key = _read_key(CosignerKey.parse, number, arguments[1])
    if any(witness.key.public == key.public for witness in reading.witnesses):
        raise PolicyError(number, "Another witness line has the same public key; keep one of them.")
    _define(reading, number, arguments[0])
    reading.witnesses.append(PolicyWitness(arguments[0], key, "".join(arguments[2:])))


def _read_group(reading: _Reading, number: int, arguments: list[str]) -> None:
    if len(arguments) < 3:
        raise PolicyError(number, "Expected 'group NAME all|any|K MEMBER...' with at least one member.")
    name, wanted, *members = arguments
    for member in members:
        _check_defined(reading, number, member)
        if member in reading.members:
            raise PolicyError(number, f"'{printable(member)}' is a member of a group already; list each name once.")
        reading.members.add(member)
    if wanted in ("all", "any"):
        threshold = len(members) if wanted == "all" else 1
    else:
        threshold = int(wanted) if _THRESHOLD.fullmatch(wanted) else 0
    if not 1 <= threshold <= len(members):
        sentence = f"Expected all, any or a number from 1 to {len(members)}, found '{printable(wanted)[:40]}'."
        raise PolicyError(number, sentence)
    _define(reading, number, name)
    reading.groups.append(PolicyGroup(name, threshold, tuple(members)))


def _read_quorum(reading: _Reading, number: int, arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise PolicyError(number, f"Expected 'quorum NAME', found {len(arguments)} words after 'quorum'.")
    if reading.quorum is not None:
        raise PolicyError(number, "There is a quorum line already; keep one of them.")
    if arguments[0] != NONE:
        _check_defined(reading, number, arguments[0])
    reading.quorum = arguments[0]


_READERS: dict[str, Callable[[_Reading, int, list[str]], None]] = {
    "log": _read_log,
    "witness": _read_witness,
    "group": _read_group,
    "quorum": _read_quorum,
}


def _define(reading: _Reading, number: int, name: str) -> None:
    if name == NONE or name in reading.defined:
        raise PolicyError(number, f"The name '{printable(name)}' is taken; choose another one.")
    reading.defined.add(name)


def _check_defined(reading: _Reading, number: int, name: str) -> None:
    if name not in reading.defined:
        raise PolicyError(number, f"'{printable(name)}' is not defined on a line before this one.")


def _read_key(parse: Callable[[str], _Key], number: int, word: str) -> _Key:
    try:
        key = parse(word)
    except (NoteError, UnicodeEncodeError) as error:
        raise PolicyError(number, str(error) if isinstance(error, NoteError) else "The key is not UTF-8.") from error
    if str(key) != word:
        raise PolicyError(number, "The key is not written as its owner prints it; copy it again.")
    return key


def printable(name: str) -> str:
    """A policy name fit for a terminal: what is not printable, or not UTF-8, stands as an escape."""
    escaped = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(item if item.isprintable() else item.encode("unicode_escape").decode() for item in escaped)

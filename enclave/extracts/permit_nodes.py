"""Reading a YAML tree with its line numbers: every wrong value becomes a ``Problem``, reading goes on after it.

The YAML composer (ruamel.yaml, YAML 1.2) gives nodes with marks; nothing is constructed from tags, so no tag can run
code. Non-goal: knowing what a data permit is (``permit_file`` does).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LARGEST_FILE = 200_000
"""Characters; a data permit is a few pages."""
DEEPEST_BRACKETS = 20
"""Open brackets at once; more would only keep the YAML parser busy."""
_KINDS = {MappingNode: "a mapping (key: value)", SequenceNode: "a list", ScalarNode: "a single value"}
_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class Problem:
    """One thing to mend. ``line`` and ``column`` count from 1; the message says expected, found and what to do."""

    line: int
    column: int
    message: str


class PermitError(Exception):
    """A data permit that cannot be read. ``problems`` holds all of them; ``str()`` is one line each."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        super().__init__("\n".join(f"line {p.line}: {p.message}" for p in self.problems))


def compose(text: str) -> Node:
    """The root node of one YAML document; raises ``PermitError`` when the text is not YAML."""
    if len(text) > LARGEST_FILE:
        raise PermitError(
            [Problem(1, 1, f"expected at most {LARGEST_FILE} characters, found {len(text)}; shorten it.")]
        )
    _check_layout(text)
    try:
        root: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"expected YAML, found a line that is not ({error.problem}); check indentation, quotes and colons."
        raise PermitError([Problem(place[0], place[1], message)]) from error
    except (YAMLError, RecursionError) as error:
        message = (
            "expected YAML text, found characters or nesting that YAML does not allow; save the file as plain UTF-8."
        )
        raise PermitError([Problem(1, 1, message)]) from error
    if root is None:
        raise PermitError([Problem(1, 1, "expected a data permit, found an empty file; start from examples/permits/.")])
    return root


def _check_layout(text: str) -> None:
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent:
            message = "expected spaces at the start of the line, found a tab; replace each tab by two spaces."
            raise PermitError([Problem(number, indent.index("\t") + 1, message)])
        for column, sign in enumerate(line, start=1):
            depth = max(0, depth + (sign in "{[") - (sign in "}]"))
            if depth > DEEPEST_BRACKETS:
                message = f"expected at most {DEEPEST_BRACKETS} open brackets, found more; close them."
                raise PermitError([Problem(number, column, message)])


def suggest(word: str, known: Collection[str]) -> str:
    """`` (did you mean "x"?)`` for the nearest known word, or nothing."""
    lowered = {k.lower(): k for k in known}
    near = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return f' (did you mean "{lowered[near[0]]}"?)' if near else ""


@dataclass
class NodeReader:
    """Typed access to nodes; what is wrong is collected in ``problems`` and read as None."""

    problems: list[Problem] = field(default_factory=list)

    def report(self, node: Node, message: str) -> None:
        """Note one problem at the node's place."""
        self.problems.append(Problem(node.start_mark.line + 1, node.start_mark.column + 1, message))

    def entries(self, node: Node, what: str) -> Iterator[tuple[str, ScalarNode, Node]]:
        """Keys and values of a mapping in file order: (key text, key node, value node). Repeated keys are reported."""
        if not isinstance(node, MappingNode):
            self.report(
                node, f"expected {what} as a mapping (key: value), found {_describe(node)}; indent its keys below it."
            )
            return
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.report(
                    key, f"expected a plain key in {what}, found {_describe(key)}; write one word before the colon."
                )
            elif key.value.lower() in seen:
                self.report(
                    key,
                    f'expected "{key.value}" once in {what}, found it again (first on line '
                    f"{seen[key.value.lower()]}); remove one of the two.",
                )
            else:
                seen[key.value.lower()] = key.start_mark.line + 1
                if isinstance(value, ScalarNode) and value.value == "":
                    value.start_mark = key.end_mark  # YAML puts what is missing on the next line
                yield key.value, key, value

    def mapping(
        self, node: Node, what: str, required: Collection[str], optional: Collection[str] = ()
    ) -> dict[str, Node]:
        """A mapping with known keys; unknown and missing ones are reported."""
        known = [*required, *optional]
        found: dict[str, Node] = {}
        for name, key, value in self.entries(node, what):
            if name in known:
                found[name] = value
            else:
                self.report(
                    key,
                    f'expected one of {", ".join(known)} in {what}, found "{name}"{suggest(name, known)}; '
                    "correct or remove it.",
                )
        if isinstance(node, MappingNode):
            for name in required:
                if name not in found and not self._is_reported(node, name):
                    self.report(node, f'expected the key "{name}" in {what}, found none; add it.')
        return found

    def text(self, node: Node, what: str, *, longest: int = 2000) -> str | None:
        """A non-empty text."""
        if not isinstance(node, ScalarNode) or _kind_of(node) in {"null", "bool"}:
            self.report(
                node,
                f"expected {what} as text, found {_describe(node)}; write it after the colon, in quotes if needed.",
            )
            return None
        value = str(node.value).strip()
        if not 0 < len(value) <= longest:
            self.report(node, f"expected {what} with 1 to {longest} characters, found {len(value)}; rewrite it.")
            return None
        return value

    def shaped(self, node: Node, what: str, shape: re.Pattern[str], explanation: str) -> str | None:
        """A text that matches ``shape`` in full."""
        value = self.text(node, what)
        if value is None or shape.fullmatch(value):
            return value
        self.report(node, f'expected {what} with {explanation}, found "{value[:60]}"; rename it.')
        return None

    def integer(self, node: Node, what: str, *, least: int, most: int) -> int | None:
        """A whole number within bounds (both included)."""
        value = node.value if isinstance(node, ScalarNode) else ""
        plain = isinstance(node, ScalarNode) and _kind_of(node) == "int" and len(value) <= 19
        if not plain or not _INTEGER.fullmatch(str(value).replace("_", "")):
            self.report(
                node, f"expected {what} as a whole number, found {_describe(node)}; write digits without quotes."
            )
            return None
        number = int(str(value).replace("_", ""))
        if least <= number <= most:
            return number
        self.report(node, f"expected {what} from {least} to {most}, found {number}; choose a number in that range.")
        return None

    def yes_or_no(self, node: Node, what: str) -> bool | None:
        """``true`` or ``false`` as YAML 1.2 writes them."""
        if isinstance(node, ScalarNode) and _kind_of(node) == "bool":
            return bool(node.value.lower() == "true")
        self.report(node, f"expected {what} as true or false, found {_describe(node)}; write one of the two.")
        return None

    def day(self, node: Node, what: str) -> date | None:
        """A date written YYYY-MM-DD."""
        if isinstance(node, ScalarNode) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(node.value)):
            try:
                return date.fromisoformat(node.value)
            except ValueError:
                pass
        self.report(
            node, f"expected {what} as a date of the calendar (YYYY-MM-DD), found {_describe(node)}; correct it."
        )
        return None

    def items(self, node: Node, what: str) -> list[Node]:
        """The entries of a non-empty list."""
        if not isinstance(node, SequenceNode) or not node.value:
            found = "an empty list" if isinstance(node, SequenceNode) else _describe(node)
            self.report(node, f"expected {what} as a list with at least one entry, found {found}; write [one, two].")
            return []
        return list(node.value)

    def _is_reported(self, node: MappingNode, name: str) -> bool:
        """A key that is there in other letters has its own problem already."""
        return any(isinstance(k, ScalarNode) and k.value.lower() == name for k, _ in node.value)


def _kind_of(node: ScalarNode) -> str:
    """``int``, ``null``, ``str`` …: what YAML takes the value for."""
    return str(node.tag).rpartition(":")[2]


def _describe(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        return _KINDS.get(type(node), "something else")
    if _kind_of(node) == "null":
        return "nothing"
    return f'"{str(node.value)[:60]}"'

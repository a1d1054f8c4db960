"""What one person keeps in their scratch space, by name: tables, views and macros, each with what it was made from.

Two catalogs: ``scratch`` is a file of that person's own and stays; ``memory`` holds what was made with TEMP and ends
with the worker. Names are unique over both, never those of the extract or of DuckDB. The list comes from the worker;
what an object reads was written there, in the object's comment, in the transaction that made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from enclave.domain.person_rules import NO_RULES, PersonRules

LASTING, TEMPORARY = "scratch", "memory"
_SPACES = (LASTING, TEMPORARY)


class ScratchKind(StrEnum):
    """What can be kept."""

    TABLE = "table"
    VIEW = "view"
    MACRO = "macro"
    TABLE_MACRO = "table-macro"


@dataclass(frozen=True)
class ScratchObject:
    """One kept thing."""

    name: str
    kind: ScratchKind
    space: str
    reads: tuple[str, ...] = ()
    """Tables of the extract behind it, and ``scratch.name`` for other objects."""
    extract: str = ""
    """Version of the extract it was made from."""
    rules: tuple[tuple[str, str], ...] = ()
    """(table, digest) of each rule of the permit that narrowed what it was made from."""

    def comment(self) -> str:
        """What the worker writes beside the object."""
        return json.dumps({"reads": list(self.reads), "extract": self.extract, "rules": dict(self.rules)})

    def is_barred(self, rules: PersonRules) -> bool:
        """True when it holds rows that the rules now in force may hide. Views and macros hold none: they read anew."""
        if self.kind is not ScratchKind.TABLE or not rules.rules:
            return False
        made_under = dict(self.rules)
        return not self.extract or any(
            digest != made_under.get(table) for table, digest in rules.digests_of(self.reads).items()
        )


@dataclass(frozen=True)
class ScratchNames:
    """All objects of one person. Names are compared without regard to case."""

    objects: tuple[ScratchObject, ...] = ()
    rules: PersonRules = NO_RULES
    """The rules in force; what was made under others is not read any more."""

    def under(self, rules: PersonRules) -> ScratchNames:
        """The same objects judged by these rules."""
        return replace(self, rules=rules)

    def find_barred(self, item: ScratchObject) -> ScratchObject | None:
        """The object itself or one behind it that was made under other rules; None when there is none."""
        if not self.rules.rules:
            return None
        names = (name.removeprefix(f"{LASTING}.") for name in self.sources(item) if name.startswith(f"{LASTING}."))
        found = (self.find(name) for name in sorted(names))
        return next((other for other in found if other is not None and other.is_barred(self.rules)), None)

    @cached_property
    def _by_name(self) -> dict[str, ScratchObject]:
        return {_folded(item.name): item for item in self.objects}

    def find(self, name: str) -> ScratchObject | None:
        """The object of that name."""
        return self._by_name.get(_folded(name))

    def resolve(self, path: list[str], kinds: Iterable[ScratchKind]) -> ScratchObject | None:
        """The object a (lower-case) qualified name means, if it is of one of these kinds."""
        found = self.find(path[-1])
        if found is None or found.kind not in tuple(kinds):
            return None
        return found if path[:-1] in ([], [found.space], [found.space, "main"]) else None

    def sources(self, item: ScratchObject) -> set[str]:
        """Everything behind an object, through others too, as they are now; itself included."""
        found: set[str] = set()
        open_items = [item]
        while open_items:
            current = open_items.pop()
            found.add(f"{LASTING}.{current.name}")
            new = set(current.reads) - found
            found |= new
            others = (self.find(name.removeprefix(f"{LASTING}.")) for name in new if name.startswith(f"{LASTING}."))
            open_items += [other for other in others if other is not None]
        return found


def _folded(name: str) -> str:
    """As DuckDB compares names: A to Z only, so that no other letter is taken for one of these."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in name)


NO_SCRATCH = ScratchNames()


@dataclass(frozen=True)
class ScratchWrite:
    """A statement that changes the scratch space, as the worker is to run it: all of it or nothing."""

    name: str
    kind: ScratchKind
    sql: str
    follow_ups: tuple[str, ...] = ()
    grows: bool = True
    """False for DROP, DELETE and TRUNCATE: they run when the space is full, too."""
    makes: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "sql": self.sql,
            "follow_ups": list(self.follow_ups),
            "grows": self.grows,
            "makes": self.makes,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ScratchWrite:
        return cls(
            content["name"],
            ScratchKind(content["kind"]),
            content["sql"],
            tuple(content["follow_ups"]),
            bool(content["grows"]),
            bool(content["makes"]),
        )


def read_objects(rows: Iterable[tuple[str, str, str, str | None]]) -> list[ScratchObject]:
    """Objects from rows of (space, name, kind, comment)."""
    found = []
    for space, name, kind, comment in rows:
        if space not in _SPACES:
            continue
        try:
            content = json.loads(comment or "{}")
            reads, extract = tuple(map(str, content.get("reads", ()))), str(content.get("extract", ""))
            rules = tuple((str(table), str(digest)) for table, digest in content.get("rules", {}).items())
        except (ValueError, AttributeError, TypeError):
            reads, extract, rules = (), "", ()
        found.append(ScratchObject(name, ScratchKind(kind), space, reads, extract, rules))
    return found


def objects_to_json(objects: Iterable[ScratchObject]) -> list[dict[str, Any]]:
    """For the frame between worker and front."""
    return [
        {
            "name": o.name,
            "kind": o.kind,
            "space": o.space,
            "reads": list(o.reads),
            "extract": o.extract,
            "rules": dict(o.rules),
        }
        for o in objects
    ]


def objects_from_json(content: list[dict[str, Any]]) -> ScratchNames:
    """The other direction."""
    return ScratchNames(
        tuple(
            ScratchObject(
                c["name"],
                ScratchKind(c["kind"]),
                c["space"],
                tuple(c["reads"]),
                c["extract"],
                tuple(c["rules"].items()),
            )
            for c in content
        )
    )

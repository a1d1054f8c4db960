"""The route table: which path of the hub's name leads to which socket (the contract of configurable-http-proxy).

Set by JupyterHub through the route API, read at each request, written to a file at each change so that it survives a
kill. Non-goals: host-based routes, and any target that is not a unix socket under ``run/``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from enclave.files import write_atomically

_TARGET = re.compile(r"http\+unix://(?P<path>[^/:?#]+)(:\d+)?(/.*)?")


class RouteError(Exception):
    """A route cannot be taken over; the sentence says why."""


@dataclass
class Route:
    """One entry. ``data`` is the hub's own (``user``, ``server_name``, …) and goes back to it as it came."""

    target: str
    socket: Path
    data: dict[str, Any]
    last_activity: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def user(self) -> str | None:
        """Whose workspace this is; None for the hub's own pages."""
        name = self.data.get("user")
        return name if isinstance(name, str) else None

    @property
    def server_name(self) -> str:
        """The project of a workspace's route."""
        name = self.data.get("server_name")
        return name if isinstance(name, str) else ""

    def touch(self) -> None:
        """Something a person did went through here just now."""
        self.last_activity = datetime.now(UTC)


def find_socket(target: str, root: Path) -> Path:
    """The socket a target names: ``http+unix://<percent-encoded path>``, relative ones under ``root``; no port.

    Raises RouteError when it is no such URL or leads out of ``root/run``. (JupyterHub 6.1 appends ``:80`` to unix URLs
    and lower-cases them, which is why our own targets are relative and lower-case.)
    """
    match = _TARGET.fullmatch(target)
    if match is None:
        raise RouteError("Expected a target like http+unix://run%2Fhub.sock, found another kind of URL.")
    path = PurePosixPath(unquote(match["path"]))
    absolute = root / path
    if ".." in path.parts or not absolute.is_relative_to(root / "run"):
        raise RouteError(
            "Expected a socket below run/, found one elsewhere. Only the enclave's own sockets are served."
        )
    return absolute


class RouteTable:
    """All routes; the longest prefix that ends at a ``/`` wins."""

    def __init__(self, root: Path, file: Path) -> None:
        self._root = root
        self._file = file
        self._routes: dict[str, Route] = {}
        self._load()

    def _load(self) -> None:
        try:
            stored = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return
        for prefix, entry in stored.items():
            try:
                self._routes[prefix] = Route(entry["target"], find_socket(entry["target"], self._root), entry["data"])
            except RouteError:
                continue

    def _save(self) -> None:
        content = {prefix: {"target": r.target, "data": r.data} for prefix, r in self._routes.items()}
        write_atomically(self._file, json.dumps(content, indent=1, sort_keys=True).encode(), mode=0o600)

    def set(self, prefix: str, target: str, data: dict[str, Any]) -> None:
        """Add or replace; durable on return. Raises RouteError."""
        self._routes[_normal(prefix)] = Route(target, find_socket(target, self._root), data)
        self._save()

    def remove(self, prefix: str) -> Route | None:
        """Take a route out; None when it was not there."""
        route = self._routes.pop(_normal(prefix), None)
        if route is not None:
            self._save()
        return route

    def find(self, path: str) -> tuple[str, Route] | None:
        """Prefix and route for a decoded path, or None when nothing matches."""
        candidate = _normal(path)
        while True:
            if candidate in self._routes:
                return candidate, self._routes[candidate]
            if candidate == "/":
                return None
            candidate = _normal(candidate.rpartition("/")[0])

    def as_json(self) -> dict[str, dict[str, Any]]:
        """What ``GET /api/routes`` answers."""
        return {
            prefix: {**r.data, "target": r.target, "last_activity": r.last_activity.isoformat()}
            for prefix, r in self._routes.items()
        }


def _normal(prefix: str) -> str:
    return "/" + prefix.strip("/")

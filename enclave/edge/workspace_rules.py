"""Which requests may reach a workspace: a positive list over method and path. Pure.

JupyterLab stays usable (open, run, save notebooks and source files); everything whose purpose is to hand a file to the
browser is refused with a sentence. What a notebook shows on the screen is not stopped here: volume is a matter of the
size caps below and of ``shown``, which counts it. Terminals are reached only where the data permit allows them.
SATRE 2.1.01 and 3.1.12.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from enclave.domain.decisions import Allow, Decision, Deny

NOTEBOOK_BYTES = 16_000_000
SOURCE_BYTES = 1_000_000
API_BYTES = 4_000_000
EXTENSION_BYTES = 1_000_000
_SOURCES = frozenset({".py", ".md", ".sql", ".r", ".txt", ".toml", ".yaml", ".yml"})

NO_DOWNLOAD = (
    "Files cannot be downloaded from a workspace. Copy what should leave into outbox/ and ask for a release: "
    "enclave_client.request_release([…], title=…, context=…)."
)
NO_TERMINALS = (
    "This project's data permit does not allow terminals. Work in a notebook: a line that begins with ! runs a command."
)
NOT_SERVED = "This address is not part of a workspace. JupyterLab itself is at /lab."
NOT_SHOWN = (
    "In the browser a workspace opens notebooks and source files (.ipynb, .py, .md, .sql, .r, .txt). "
    "Read other files in a notebook, and show plots inline. " + NO_DOWNLOAD
)

_DOWNLOADS = re.compile(r"/(files|view|nbconvert|lab/api/extensions|lsp|metrics)(/.*)?")
_TERMINALS = re.compile(r"/(api/)?terminals(/.*)?")


@dataclass(frozen=True)
class Rule:
    """One line of the list: methods, pattern of the decoded path below the prefix, largest answer in bytes."""

    methods: frozenset[str]
    pattern: re.Pattern[str]
    maximum_bytes: int | None = None


def _rule(methods: str, pattern: str, maximum_bytes: int | None = API_BYTES) -> Rule:
    return Rule(frozenset(methods.split()), re.compile(pattern), maximum_bytes)


_ID = r"[0-9A-Za-z-]+"
_TERMINAL = r"[1-9][0-9]{0,2}"
RULES: tuple[Rule, ...] = (
    _rule("GET HEAD", r"/?"),
    _rule("GET HEAD", r"/lab(/(tree|doc|workspaces)(/.*)?)?/?"),
    _rule("GET HEAD", r"/static/.+", None),
    _rule("GET HEAD", r"/lab/extensions/(@jupyterlab/[^/]+|jupyterlab_pygments|enclave-lab)/static/.+", None),
    _rule("GET HEAD", r"/(favicon\.ico|custom/custom\.css|kernelspecs/python3/logo-(32x32|64x64|svg)\.(png|svg))"),
    _rule("GET PUT", r"/lab/api/settings(/.*)?"),
    _rule("GET PUT DELETE", r"/lab/api/workspaces(/.*)?"),
    _rule("GET", r"/lab/api/(themes|translations|listings)(/.*)?"),
    _rule("GET", r"/lab/api/build"),
    _rule("GET", r"/api/nbconvert"),  # names of formats only; a conversion is a download
    _rule("GET HEAD", r"/api/?"),
    _rule("GET", r"/api/(status|me|kernelspecs(/python3)?)"),
    _rule("GET POST", r"/api/kernels"),
    _rule("GET DELETE", rf"/api/kernels/{_ID}"),
    _rule("POST", rf"/api/kernels/{_ID}/(interrupt|restart)"),
    _rule("GET", rf"/api/kernels/{_ID}/channels", None),
    _rule("GET POST", r"/api/sessions"),
    _rule("GET PATCH DELETE", rf"/api/sessions/{_ID}"),
    _rule("GET PATCH PUT", r"/api/config/[A-Za-z0-9_-]+"),
    _rule("GET POST", r"/api/events(/subscribe)?", None),
    _rule("GET POST", r"/api/terminals"),
    _rule("GET DELETE", rf"/api/terminals/{_TERMINAL}"),
    _rule("GET", rf"/terminals/websocket/{_TERMINAL}", None),
    _rule("PUT POST PATCH DELETE", r"/api/contents(/.*)?"),
    _rule("GET", r"/enclave/(project|tables|queries|outbox|limits)", EXTENSION_BYTES),
    _rule("POST", r"/enclave/(cancel|release|keep)", EXTENSION_BYTES),
)
_CONTENTS = re.compile(r"/api/contents(?P<path>/.*)?")
_CHECKPOINTS = re.compile(r".*/checkpoints(/[^/]*)?")
_OWN_STATE = re.compile(rf"/(lab/api/workspaces|api/kernels/{_ID}/channels|api/events)(/.*)?")


@dataclass(frozen=True)
class Passage:
    """What was decided and how large the answer may be (None: streams, static files)."""

    decision: Decision
    maximum_bytes: int | None = None


def decide_request(method: str, path: str, query: Mapping[str, str], *, terminals: bool = False) -> Passage:
    """May ``method`` on the decoded ``path`` (below the workspace's prefix, beginning with ``/``) go through?

    ``terminals``: does the data permit allow them?
    """
    if not terminals and _TERMINALS.fullmatch(path):
        return Passage(Deny((NO_TERMINALS,)))
    if _DOWNLOADS.fullmatch(path):
        return Passage(Deny((NO_DOWNLOAD,)))
    contents = _CONTENTS.fullmatch(path)
    if contents is not None and method in ("GET", "HEAD"):
        return _decide_contents(contents["path"] or "/", query)
    for rule in RULES:
        if method in rule.methods and rule.pattern.fullmatch(path):
            return Passage(Allow(("workspace-routes",)), rule.maximum_bytes)
    return Passage(Deny((NOT_SERVED,)))


def _decide_contents(path: str, query: Mapping[str, str]) -> Passage:
    """Reading: notebooks and source files; anything else only as a name in a folder's listing."""
    if _CHECKPOINTS.fullmatch(path):
        return Passage(Allow(("workspace-routes",)), API_BYTES)
    if query.get("format") == "base64":
        return Passage(Deny((NOT_SHOWN,)))
    suffix = PurePosixPath(path).suffix.lower()
    if query.get("content") == "0" or query.get("type") == "directory" or suffix == "":
        return Passage(Allow(("workspace-routes",)), SOURCE_BYTES)
    if suffix == ".ipynb":
        return Passage(Allow(("workspace-routes",)), NOTEBOOK_BYTES)
    if suffix in _SOURCES:
        return Passage(Allow(("workspace-routes",)), SOURCE_BYTES)
    return Passage(Deny((NOT_SHOWN,)))


def is_persons_doing(method: str, path: str) -> bool:
    """A request that shows somebody at work, unlike JupyterLab's own polling; keeps a workspace from being idle."""
    return method not in ("GET", "HEAD") and _OWN_STATE.fullmatch(path) is None


def is_terminal(path: str) -> bool:
    """The channel of a terminal."""
    return path.startswith("/terminals/websocket/")


def is_looked_into(method: str, path: str) -> bool:
    """Answers that must be JSON and are read whole: contents, with notebooks and their outputs, and our extension's."""
    return (method == "GET" and _CONTENTS.fullmatch(path) is not None) or path.startswith("/enclave/")

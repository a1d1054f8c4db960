"""Identifiers. All are plain strings with a shape that is checked once, where they enter the system.

Shapes: a project id and a user name are lower-case slugs, because both become folder names, socket paths and
JupyterHub server names (JupyterHub 6.1 allows ``[a-z][a-z0-9-]{0,29}``). A person id is what the audit log carries
instead of a name.
"""

from __future__ import annotations

import re
import secrets
from typing import NewType

ProjectId = NewType("ProjectId", str)
"""``[a-z][a-z0-9-]{2,29}``, for instance ``gibleed-nsaids``."""
Username = NewType("Username", str)
"""``[a-z][a-z0-9-]{1,29}``: what a person types to log in, and what a data permit names."""
PersonId = NewType("PersonId", str)
"""``u-`` and 12 hex digits: the pseudonymous identity of a user in tokens, policies and the audit log."""
WorkspaceId = NewType("WorkspaceId", str)
"""``w-`` and 12 hex digits: one running workspace of one person in one project."""
ExtractVersion = NewType("ExtractVersion", str)
"""``v1``, ``v2`` …: the folder name under ``projects/<id>/extracts/``."""

SELFTEST_PROJECT = ProjectId("selftest")
"""Reserved: the throw-away workspaces of ``enclave selftest``, whose files are removed after each run."""

PROJECT_ID = re.compile(r"[a-z][a-z0-9-]{2,29}")
USERNAME = re.compile(r"[a-z][a-z0-9-]{1,29}")


def new_person_id() -> PersonId:
    """A fresh random person id; never derived from the name."""
    return PersonId(f"u-{secrets.token_hex(6)}")


def new_workspace_id() -> WorkspaceId:
    """A fresh random workspace id."""
    return WorkspaceId(f"w-{secrets.token_hex(6)}")

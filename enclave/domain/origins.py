"""The name under which one workspace is served: an origin of its own, so that browsers keep workspaces apart. Pure."""

from __future__ import annotations

import hashlib

_LABEL = 63


def workspace_label(username: str, project: str) -> str:
    """The DNS label of a workspace, one for each pair: ``<username>--<project>``.

    Where that could be read in two ways (hyphens side by side or at the end of a name), looks like an encoded name
    (``xx--``, RFC 5891 4.2.3.1) or is too long (RFC 1035: 63 signs), it is ``w-`` and 24 hex digits of a SHA-256.
    """
    plain = f"{username}--{project}"
    is_plain = bool(username and project) and len(username) > 2 and len(plain) <= _LABEL
    if is_plain and "--" not in username + "-" and "--" not in project and not project.endswith("-"):
        return plain
    return "w-" + hashlib.sha256(f"{username}/{project}".encode()).hexdigest()[:24]

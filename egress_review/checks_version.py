"""Which disclosure checks are installed: one hash over their sources, the same on every machine with this release.

SHA-256 over the lines ``<SHA-256 of the file>  <path below egress_review>``, sorted by path: what ``sha256sum`` says of
those files there. Non-goal: the libraries they call, which ``requirements.lock`` pins.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

_PACKAGE = Path(__file__).parent
_FOLDERS = ("parsing", "sdc")
"""What decides which findings there are; one that is not there adds nothing."""


@cache
def checks_sha256() -> str:
    """Of the sources as this process found them first."""
    files = {
        path.relative_to(_PACKAGE).as_posix(): path for folder in _FOLDERS for path in (_PACKAGE / folder).rglob("*.py")
    }
    lines = (f"{sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in sorted(files.items()))
    return sha256("".join(lines).encode()).hexdigest()

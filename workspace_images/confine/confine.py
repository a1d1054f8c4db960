"""``confine.py PROGRAM …``: becomes PROGRAM, which can then make no socket, FIFO or device in home or shared folder.

Members meet in the shared folder alone. A socket there would let one member's processes speak through another's
gateway connection, under that person's name (ADR 0023). Runs first in every sandbox that has the shared folder, before
any code of the researcher's; what Landlock took stays taken for all that is started after it. Never goes on without.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from landlock import LandlockError, forbid_sockets_but_below

HOMES = "home"


def main() -> None:
    """Never returns."""
    allowed = [path for path in Path("/").iterdir() if path.name != HOMES]
    try:
        forbid_sockets_but_below(allowed)
    except LandlockError as error:
        sys.exit(f"The sandbox did not start: {error.strerror}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

"""What our processes leave out of the libraries they start with."""

from __future__ import annotations

import sys


def leave_out(*packages: str) -> None:
    """Where ``python -m`` is about to run one of our processes, these are not installed, as far as it can see.

    For packages that a library imports where it finds them. Called while the process' package is imported, when
    ``argv`` begins with ``-m`` (Python's documentation, option -m). No effect on command lines, tests and the programs
    of others.
    """
    if sys.argv[:1] == ["-m"] and not any(".cli" in word for word in sys.orig_argv):
        sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]

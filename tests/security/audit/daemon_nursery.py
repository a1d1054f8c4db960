"""A process that has everything imported and forks a real audit daemon for each line it is told: starts cost little.

``{"arguments": [...], "errors": path}`` on standard input, the new process id on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from audit.daemon import pruning
from audit.daemon.__main__ import parse_arguments, run


def become_daemon(arguments: list[str], errors: str) -> None:
    """In the child: what ``python -m audit.daemon`` does, with standard error in a file.

    Unsafe in one thing: it may be told to prune what is younger than a year, because nothing here is older.
    """
    pruning.LEAST_KEEP_DAYS = 0
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    written = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, target in ((nothing, 0), (nothing, 1), (written, 2)):
        os.dup2(descriptor, target)
    os._exit(run(parse_arguments(arguments)))


def main() -> None:
    """Until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            become_daemon(wanted["arguments"], wanted["errors"])
        print(child, flush=True)


if __name__ == "__main__":
    main()

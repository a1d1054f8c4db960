"""``enclave``: one file per noun. Exit codes: 0 done, 1 failed or refused, 2 wrong usage."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from audit.client import AuditUnavailable
from enclave.domain.decisions import RefusedError

_COMMANDS = ("demo", "serve", "node", "doctor", "selftest")
"""Each the function of that name in ``enclave.cli``'s file of that name."""
_GROUPS = {
    **{
        noun: f"enclave.cli.{noun}"
        for noun in ("gateway", "image", "token", "permit", "person", "dataset", "shown", "policy")
    },
    # Above and beside this package (DESIGN.md, dependency rule), so mounted by name.
    "output": "egress_review.cli",
    "audit": "audit.cli",
}


def command_line(noun: str = "") -> typer.Typer:
    """All commands; where ``noun`` is one of them, only that: what all of them import together takes seconds."""
    app = typer.Typer(
        name="enclave",
        help="A trusted research environment inside your own walls.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def _whole() -> None:
        """Keeps a single command a subcommand."""

    is_known = noun in _COMMANDS or noun in _GROUPS
    for name in _COMMANDS:
        if name == noun or not is_known:
            app.command(name)(getattr(import_module(f"enclave.cli.{name}"), name))
    for name, module in _GROUPS.items():
        if name == noun or not is_known:
            app.add_typer(import_module(module).app, name=name)
    return app


def main() -> None:
    """Entry point: turns our own errors into one readable sentence and exit code 1."""
    try:
        command_line(*sys.argv[1:2])()
    except RefusedError as error:
        for reason in error.reasons:
            print(f"Refused: {reason}", file=sys.stderr)
        raise SystemExit(1) from error
    except AuditUnavailable as error:
        print(f"Nothing was done, because it could not be recorded: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()

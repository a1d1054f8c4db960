"""``enclave``: one file per noun. Exit codes: 0 done, 1 failed or refused, 2 wrong usage."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from enclave.cli import demo, doctor, gateway, image, node, permit, policy, selftest, serve, shown, token
from enclave.domain.decisions import RefusedError

app = typer.Typer(
    name="enclave",
    help="A trusted research environment inside your own walls.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("node")(node.node)
app.command("doctor")(doctor.doctor)
app.command("selftest")(selftest.selftest)
app.add_typer(gateway.app, name="gateway")
app.add_typer(image.app, name="image")
app.add_typer(token.app, name="token")
app.add_typer(permit.app, name="permit")
app.add_typer(shown.app, name="shown")
app.add_typer(policy.app, name="policy")
# Above and beside this package (DESIGN.md, dependency rule), so mounted by name.
app.add_typer(import_module("egress_review.cli").app, name="output")
app.add_typer(import_module("audit.cli").app, name="audit")


def main() -> None:
    """Entry point: turns our own errors into one readable sentence and exit code 1."""
    try:
        app()
    except RefusedError as error:
        for reason in error.reasons:
            print(f"Refused: {reason}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()

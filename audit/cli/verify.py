"""``enclave-audit verify``."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from audit.cli.options import EXIT_FAILED, AsJson, LogDir, fail, read_key, read_text
from audit.policy import Policy, PolicyError, parse_policy
from audit.verify import VerifyError, verify_log

_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(verify)


def verify(
    log_dir: LogDir,
    key: Annotated[str | None, typer.Option(help="The log's verifier key, or a file that holds it.")] = None,
    policy: Annotated[Path | None, typer.Option(help="A trust policy: logs, witnesses, quorum.")] = None,
    since: Annotated[list[Path] | None, typer.Option(help="A signed checkpoint kept from earlier.")] = None,
    receipt: Annotated[list[Path] | None, typer.Option(help="A proof (.tlog-proof) that somebody kept.")] = None,
    max_age: Annotated[str | None, typer.Option(help="Age allowed of the newest quorum, such as 10m (1h).")] = None,
    payloads: Annotated[Path | None, typer.Option(help="The log's state directory: open every payload.")] = None,
    tsa_cert: Annotated[Path | None, typer.Option(help="PEM certificate of the time-stamping authority.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes to use (all cores).")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the whole log offline; one verdict per question, exit code 1 when one of them failed."""
    try:
        report = verify_log(
            log_dir,
            None if key is None else read_key(key),
            [read_text(path) for path in since or ()],
            policy=None if policy is None else read_policy(policy),
            max_age=None if max_age is None else read_duration(max_age),
            receipts=[read_text(path) for path in receipt or ()],
            payloads=payloads,
            tsa_certificate=None if tsa_cert is None else read_text(tsa_cert).encode(),
            processes=processes,
        )
    except VerifyError as error:
        fail(str(error), as_json)
    print(json.dumps(report.as_json(), ensure_ascii=False) if as_json else "\n".join(report.lines()))
    raise typer.Exit(0 if report.ok else EXIT_FAILED)


def read_policy(path: Path) -> Policy:
    """A policy file; raise :class:`VerifyError`."""
    try:
        return parse_policy(path.read_bytes())
    except OSError as error:
        raise VerifyError(f"{path.name} cannot be read ({error.strerror}); give the name of a policy file.") from error
    except PolicyError as error:
        raise VerifyError(f"{path.name} is not a policy. {error}") from error


def read_duration(text: str) -> timedelta:
    """``90s``, ``10m``, ``2h``, ``1d``; raise :class:`VerifyError`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise VerifyError("--max-age: expected a number and s, m, h or d, such as 10m.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})

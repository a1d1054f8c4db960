"""The filter options that ``show``, ``search``, ``tail`` and ``stats`` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from audit.index import Wanted

FILTERS: dict[str, Any] = {
    "person": Annotated[list[str] | None, typer.Option(help="Only records by this actor, or about it; repeatable.")],
    "project": Annotated[str | None, typer.Option(help="Only records of this project.")],
    "dataset": Annotated[str | None, typer.Option(help="Only this dataset: name, or name@version.")],
    "table": Annotated[str | None, typer.Option(help="Only statements that read this table, and their outcomes.")],
    "verb": Annotated[str | None, typer.Option(help="Only statements of this verb, such as select.")],
    "event_type": Annotated[str | None, typer.Option("--type", help="Only this type, such as query:intent.")],
    "decision": Annotated[str | None, typer.Option(help="Only records with this decision: allow or deny.")],
    "request": Annotated[str | None, typer.Option(help="Only records of this request id.")],
    "text": Annotated[str | None, typer.Option(help="Only records whose text contains this, in any case.")],
    "since": Annotated[datetime | None, typer.Option(help="Only records from this time (UTC) on.")],
    "until": Annotated[datetime | None, typer.Option(help="Only records before this time (UTC).")],
}


def with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes ``wanted`` the filter options in its place."""

    def filtered(**given: Any) -> None:
        options = {name: given.pop(name) for name in FILTERS}
        command(wanted=wanted_from(options), **given)

    filtered.__name__, filtered.__doc__ = command.__name__, command.__doc__

    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "wanted"]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in FILTERS.items()
    ]
    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    typer_reads: Any = filtered
    typer_reads.__signature__ = inspect.Signature([*keyword_only, *shared])
    typer_reads.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return filtered


def wanted_from(options: dict[str, Any]) -> Wanted:
    """The filter that the options ask for; a time without zone is UTC."""
    return Wanted(
        persons=frozenset(options["person"]) if options["person"] else None,
        type=options["event_type"],
        request_id=options["request"],
        since=_aware(options["since"]),
        until=_aware(options["until"]),
        **{name: options[name] for name in ("project", "dataset", "table", "verb", "decision", "text")},
    )


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment

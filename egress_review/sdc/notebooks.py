"""A notebook as the checks and the review page see it: cells in order, with sources and outputs.

Read with nbformat and validated against its schema; whatever does not validate is unreadable (fail closed).
Also unreadable: a key written twice, because two readers of the file could then see two different notebooks.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from egress_review.domain.sentences import Sentence
from egress_review.sdc.tables import UnreadableError

NEXT_MINOR = 6
"""After the last minor version of format 4 that nbformat knows."""


@dataclass(frozen=True)
class Output:
    """One output; ``parts`` maps MIME type to text (base64 for images). Streams and tracebacks are ``text/plain``."""

    number: int
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Cell:
    """``kind`` is code, markdown or raw; ``number`` counts from 1."""

    number: int
    kind: str
    source: str
    outputs: tuple[Output, ...] = ()
    attachments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    metadata_bytes: int = 0


@dataclass(frozen=True)
class Notebook:
    """``metadata_bytes``: length of the notebook's own metadata as JSON, which no reader shows."""

    cells: tuple[Cell, ...]
    metadata_bytes: int = 0


def parse_json(text: str) -> Any:
    """JSON without duplicate keys and not too deep. Raises UnreadableError."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(Sentence("The file cannot be read as JSON, or is nested too deeply.")) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadableError(Sentence("The same key is written twice, so two readers could see different contents."))
    return found


def read_notebook(text: str) -> Notebook:
    """Raises UnreadableError."""
    import nbformat  # at its first use: importing it costs a second

    content = parse_json(text)
    if not isinstance(content, dict) or content.get("nbformat") != 4:
        raise UnreadableError(Sentence("Expected a notebook of format 4, found another. Save it again in JupyterLab."))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nbformat.validate(content, version=4, version_minor=_known_minor(content.get("nbformat_minor")))
            return Notebook(
                cells=tuple(_cell(number, cell) for number, cell in enumerate(content["cells"], start=1)),
                metadata_bytes=_length(content.get("metadata")),
            )
    except UnreadableError:
        raise
    # nbformat raises its own, its validator's and built-in errors; each means that nobody can say what is in the file.
    except Exception as error:
        raise UnreadableError(Sentence("The file is not a valid notebook. Save it again in JupyterLab.")) from error


def _known_minor(minor: Any) -> Any:
    """All minor versions to come are validated alike; one number for them is one schema, which is loaded already."""
    return min(minor, NEXT_MINOR) if isinstance(minor, int) else minor


def _length(value: Any) -> int:
    return len(json.dumps(value or {}))


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "".join(value)
    return json.dumps(value, ensure_ascii=False)


def _bundle(data: Mapping[str, Any]) -> dict[str, str]:
    return {str(mime).lower(): _joined(value) for mime, value in data.items()}


def _cell(number: int, cell: Mapping[str, Any]) -> Cell:
    return Cell(
        number=number,
        kind=str(cell["cell_type"]),
        source=_joined(cell.get("source", "")),
        outputs=tuple(_output(n, output) for n, output in enumerate(cell.get("outputs", ()), start=1)),
        attachments={str(name): _bundle(data) for name, data in (cell.get("attachments") or {}).items()},
        metadata_bytes=_length(cell.get("metadata")),
    )


def _output(number: int, output: Mapping[str, Any]) -> Output:
    match output["output_type"]:
        case "stream":
            return Output(number, {"text/plain": _joined(output["text"])})
        case "error":
            lines = [str(output["ename"]), str(output["evalue"]), *map(str, output["traceback"])]
            return Output(number, {"text/plain": "\n".join(lines)})
        case "display_data" | "execute_result":
            parts = _bundle(output["data"])
            if _length(output.get("metadata")) > 2000:
                parts["application/x-output-metadata"] = _joined(output["metadata"])
            return Output(number, parts)
        case _:
            raise UnreadableError(Sentence("The notebook has an output of an unknown kind."))

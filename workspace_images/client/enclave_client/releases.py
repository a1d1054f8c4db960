"""Ask for files to leave the project: copy them into ``~/outbox``, tell the gateway, say what happens next."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enclave_client.errors import EnclaveError
from enclave_client.session import call_action

OUTBOX = "outbox"


@dataclass(frozen=True)
class ReleaseRequest:
    """An output request as the portal took it. ``findings``: number of remarks of the automatic checks; ``version``
    counts the requests that follow one another."""

    id: str
    url: str
    state: str
    findings: int
    version: int = 1

    def __repr__(self) -> str:
        remarks = {0: "no remark", 1: "1 remark"}.get(self.findings, f"{self.findings} remarks")
        version = f", version {self.version}" if self.version > 1 else ""
        return (
            f"Output request {self.id}{version}: {self.state}. The automatic checks had {remarks}.\n"
            f"What happens next: two reviewers look at exactly these files; changing them here changes nothing there.\n"
            f"When both agree, you download them from the portal: {self.url}"
        )


def request_release(
    files: Sequence[str | Path], *, title: str, context: str, follows: str | None = None
) -> ReleaseRequest:
    """Ask for ``files`` to be released. Files elsewhere in your home are copied into ``outbox/`` first.

    ``title``: what it is, one line. ``context``: how it was made, over how many people, and why it discloses nobody.
    ``follows``: the id (``r-…``) of a request of yours that was sent back, rejected, withdrawn or voided; this one
    becomes its next version, and reviewers see what changed. They decide anew about all files.
    Prints what happens next. Raises EnclaveError with the reasons when the request is not taken.
    """
    if isinstance(files, str | Path):
        files = [files]
    if not files:
        raise EnclaveError("Expected at least one file to release, found none. Name files of your home or of outbox/.")
    names = [_into_outbox(Path(file)) for file in files]
    asked = {"files": names, "title": title, "context": context, **({"follows": follows} if follows else {})}
    answer = call_action("enclave.request_release", asked)
    if not isinstance(answer, dict) or "id" not in answer:
        reasons = answer.get("reasons", []) if isinstance(answer, dict) else []
        raise EnclaveError(
            " ".join(map(str, reasons)) or "The request was not taken, without a reason. Tell your admin."
        )
    request = ReleaseRequest(
        str(answer["id"]),
        str(answer["url"]),
        str(answer["state"]),
        int(answer["findings"]),
        int(answer.get("version", 1)),
    )
    print(request)
    return request


def _into_outbox(file: Path) -> str:
    """The file's name relative to the outbox, after copying it there when it lies elsewhere in the home."""
    home = Path.home().resolve()
    outbox = home / OUTBOX
    outbox.mkdir(exist_ok=True)
    beside = [Path.cwd() / file, home / file, outbox / file]
    found = next((path.resolve() for path in ([file] if file.is_absolute() else beside) if path.is_file()), None)
    if found is None:
        raise EnclaveError(f"Expected a file {file}, found none. Give its name in your home or in outbox/.")
    if not found.is_relative_to(home):
        raise EnclaveError(f"Expected a file of your home, found {file} elsewhere. Copy it into outbox/ first.")
    if found.is_relative_to(outbox):
        return str(found.relative_to(outbox))
    target = outbox / found.name
    shutil.copyfile(found, target)
    return target.name

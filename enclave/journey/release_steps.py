"""Steps of the egress: the request, two reviews, the release and the download."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
import zipfile

import jwt

from enclave.domain.people import Role
from enclave.journey.browser import Browser, JourneyError
from enclave.journey.context import Context
from enclave.journey.forms import Page
from enclave.journey.project_steps import state_of, words_of
from enclave.keys import receipt_public_key

_RELEASE_SECONDS = 60.0
_COMMENT = (
    "Counts are of distinct people, no group is under the threshold of the permit; the picture shows the same table."
)


async def find_request(context: Context) -> str:
    """The request that the notebook's last cell made stands in the researcher's list."""
    page = await context.researcher.get("/outputs/")
    paths = [
        link for link in page.links if link.startswith("/outputs/") and link.count("/") == 3 and "/new" not in link
    ]
    if not paths:
        raise JourneyError(f"Expected an output request in the researcher's list, found none: {words_of(page)}")
    context.request_path = paths[0]
    page = await context.researcher.get(context.request_path)
    return f"{context.request_path.strip('/').split('/')[-1]}, {state_of(page)}"


async def refuse_own_review(context: Context) -> str:
    """The requester sends the approval form anyway: refused (and recorded)."""
    page = await context.researcher.get(context.request_path)
    form = page.form(with_field="csrfmiddlewaretoken")
    answer = await context.researcher.submit(page, form, to=context.request_path + "approve", comment=_COMMENT)
    if answer.status != 403:
        raise JourneyError(f"Expected the requester's own approval to be refused, found HTTP {answer.status}.")
    return "refused with HTTP 403"


async def review(context: Context) -> str:
    """Two different output checkers look at the snapshot and approve exactly it."""
    checkers = context.by_role[Role.OUTPUT_CHECKER][:2]
    if len(checkers) < 2:
        raise JourneyError(f"Expected two output checkers among the sample people, found {len(checkers)}.")
    for checker in checkers:
        await _approve(context, checker)
    return " and ".join(checker.username for checker in checkers)


async def _approve(context: Context, checker: Browser) -> None:
    page = await checker.get(context.request_path)
    form = page.form(with_field="snapshot_sha256")
    page = await checker.submit(page, form, to=context.request_path + "approve", comment=_COMMENT)
    if page.status >= 400:
        raise JourneyError(f"Expected {checker.username} to approve, found HTTP {page.status}: {words_of(page)}")


async def await_release(context: Context) -> str:
    """The runner carries the release out."""
    deadline = time.monotonic() + _RELEASE_SECONDS
    page: Page | None = None
    while time.monotonic() < deadline:
        page = await context.researcher.get(context.request_path)
        if state_of(page) == "released":
            return "released"
        await asyncio.sleep(0.3)
    found = state_of(page) if page else "nothing"
    raise JourneyError(f"Expected the release within {_RELEASE_SECONDS:.0f} s, found the request {found}.")


async def download(context: Context) -> str:
    """All files and the receipt: its signature holds and each file has the hash it names."""
    browser = context.researcher
    url = f"{context.settings.portal_url}{context.request_path}download.zip"
    status, _, body, _ = await browser.request("GET", url)
    if status != 200:
        raise JourneyError(f"Expected the released files, found HTTP {status}.")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        contents = {name.removeprefix("files/"): archive.read(name) for name in archive.namelist()}
    receipt = jwt.decode(
        contents.pop("receipt.jws").decode(),
        receipt_public_key(context.settings),
        algorithms=["EdDSA"],
        issuer="enclave-egress-review",
    )
    expected = {file["name"]: file["sha256"] for file in receipt["files"]}
    found = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if expected != found:
        raise JourneyError(
            f"Expected the files of the receipt, {sorted(expected)}, found {sorted(found)} or other bytes."
        )
    return f"{len(found)} files, {sum(map(len, contents.values())):,} bytes, receipt holds"

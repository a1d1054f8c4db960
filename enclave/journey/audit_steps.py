"""Steps of the auditor: find a query by person, see its proof, verify the whole log with the audit package alone."""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import urlencode

from enclave.domain.people import Role
from enclave.journey.browser import JourneyError
from enclave.journey.context import Context
from enclave.journey.project_steps import words_of

_VERIFY_SECONDS = 120


async def find_query(context: Context) -> str:
    """The researcher's newest query in the auditor's list, its text decrypted, its proof verified."""
    auditor = context.one(Role.AUDITOR)
    query = {"person": context.researcher.username, "type": "query:intent", "project": context.permit.project}
    page = await auditor.get("/audit/?" + urlencode(query))
    records = [link for link in page.links if link.startswith("/audit/") and link.strip("/").split("/")[-1].isdigit()]
    if not records:
        raise JourneyError(
            f"Expected queries of {context.researcher.username} in the log, found none: {words_of(page)}"
        )
    page = await auditor.get(records[0])
    if "Proof verified" not in page.text:
        raise JourneyError(f"Expected a verified proof of {records[0]}, found: {words_of(page, 'proof')}")
    page = await auditor.submit(page, page.form(action="payload"))
    if not any(verb in page.text.upper() for verb in ("SELECT", "SHOW TABLES")):
        raise JourneyError(f"Expected the text of the query at {records[0]}, found: {words_of(page)}")
    return f"record {records[0].strip('/').split('/')[-1]}, proof verified"


async def verify_log(context: Context) -> str:
    """``enclave-audit verify`` as a program of its own, on the published log."""
    settings = context.settings
    arguments = ["verify", str(settings.log_dir), "--key", str(settings.audit_dir / "log.vkey"), "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "audit.cli", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), _VERIFY_SECONDS)
    if process.returncode != 0:
        raise JourneyError(f"Expected the log to verify, found: {(output or errors).decode()[:800]}")
    report = json.loads(output)
    return f"{report['size']} records" if "size" in report else "verified"

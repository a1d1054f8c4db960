"""Further applications for ``make dev``, so that every state of a project can be looked at."""

from __future__ import annotations

import re
from dataclasses import replace

from enclave.domain.ids import ProjectId
from enclave.domain.people import Role
from enclave.journey.context import Context
from enclave.journey.project_steps import apply, approve, decide

_SEEDS = ("seed-submitted", "seed-approved", "seed-rejected", "seed-closed")


async def seed_states(context: Context) -> str:
    """One project each that is submitted, approved, rejected and closed; the journey's own one is active."""
    for name in _SEEDS:
        text = re.sub(rb"(?m)^project:.*$", f"project: {name}".encode(), context.permit_text)
        seeded = replace(context, permit=replace(context.permit, project=ProjectId(name)), permit_text=text)
        await apply(seeded)
        if name in ("seed-approved", "seed-closed"):
            await approve(seeded)
        if name == "seed-rejected":
            await decide(seeded, context.one(Role.DATA_STEWARD), "reject", Role.DATA_STEWARD, "Too many columns.")
        if name == "seed-closed":
            await decide(seeded, context.one(Role.ADMIN), "close", Role.ADMIN, "The study was called off.")
    return ", ".join(_SEEDS)

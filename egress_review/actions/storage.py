"""How much of the vault a project takes."""

from __future__ import annotations

from egress_review.models import OutputFile


def vault_bytes(project: str) -> int:
    """Bytes of the snapshots of its output requests; a file that was asked for twice is kept, and counted, once."""
    files = OutputFile.objects.filter(request__project_id=project).values_list("sha256", "bytes").distinct()
    return sum(dict(files).values())

"""Which workspace image this machine has: a cluster needs the same one on all its machines."""

from __future__ import annotations

import json

from enclave.settings import Settings


def image_of(settings: Settings) -> str:
    """What its packages are, as one hash; empty: there is none."""
    try:
        return str(json.loads((settings.image / "enclave-image.json").read_bytes())["lock_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""

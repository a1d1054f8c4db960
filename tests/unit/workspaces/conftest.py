"""The client package as a workspace has it, importable."""

from __future__ import annotations

import sys
from pathlib import Path

_CLIENT = str(Path(__file__).resolve().parents[3] / "workspace_images" / "client")
if _CLIENT not in sys.path:
    sys.path.insert(0, _CLIENT)

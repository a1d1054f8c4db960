"""The reader of ``standards/`` stands beside its tests (``scripts/generate-docs`` uses it as well)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

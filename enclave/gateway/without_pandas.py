"""Arrow without pandas: the front has no use for it, and its first ``pa.array`` would import it.

That took 1.1 s of processor time and 60 MB, and the first client to ask for SqlInfo after a start waited for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("This process does without pandas.", name=fullname)
        return None


def do_without_pandas() -> None:
    """For this process; call before Arrow is used."""
    sys.meta_path.insert(0, _NoPandas())

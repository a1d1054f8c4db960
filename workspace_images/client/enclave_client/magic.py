"""The ``%%sql`` cell of a notebook."""

from __future__ import annotations

from typing import Any

from enclave_client.errors import EnclaveError
from enclave_client.queries import Result, sql


def register(shell: Any) -> None:
    """Add ``%%sql`` to a running IPython shell."""

    def run_cell(line: str, cell: str) -> Result | None:
        """``%%sql`` shows the result; ``%%sql name`` keeps it as a pandas DataFrame in ``name``."""
        name = line.strip()
        if name and not name.isidentifier():
            raise EnclaveError(
                f"Expected a variable name after %%sql, found {name!r}. Write for instance: %%sql patients"
            )
        result = sql(cell)
        if not name:
            return result
        shell.user_ns[name] = result.df()
        print(f"{name}: {len(result):,} rows × {len(result.columns)} columns")
        return None

    shell.register_magic_function(run_cell, magic_kind="cell", magic_name="sql")

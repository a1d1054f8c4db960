"""The ``%%sql`` cell of a notebook."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from enclave_client.errors import EnclaveError
from enclave_client.queries import Result, sql
from enclave_client.transport import Progress

_SHOW_AFTER_SECONDS = 0.5


def register(shell: Any) -> None:
    """Add ``%%sql`` to a running IPython shell."""

    def run_cell(line: str, cell: str) -> Result | None:
        """``%%sql`` shows the result; ``%%sql name`` keeps it as a pandas DataFrame in ``name``."""
        name = line.strip()
        if name and not name.isidentifier():
            raise EnclaveError(
                f"Expected a variable name after %%sql, found {name!r}. Write for instance: %%sql patients"
            )
        with shown_progress() as progress:
            result = sql(cell, progress=progress)
        if not name:
            return result
        shell.user_ns[name] = result.df()
        print(f"{name}: {len(result):,} rows × {len(result.columns)} columns")
        return None

    shell.register_magic_function(run_cell, magic_kind="cell", magic_name="sql")


@contextlib.contextmanager
def shown_progress() -> Iterator[Progress]:
    """A line under the cell with rows and seconds, once a query takes longer than half a second; gone at its end."""
    handle: Any = None

    def show(rows: int, seconds: float) -> None:
        nonlocal handle
        if seconds < _SHOW_AFTER_SECONDS:
            return
        from IPython.display import HTML, display

        line = HTML(f"<small>{rows:,} rows so far, {seconds:.1f} s</small>")
        if handle is None:
            handle = display(line, display_id=True)
        else:
            handle.update(line)

    try:
        yield show
    finally:
        if handle is not None:
            from IPython.display import HTML

            handle.update(HTML(""))

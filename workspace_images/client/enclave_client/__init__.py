"""Your project's data from inside a workspace.

    import enclave_client as enclave

    enclave.project()                                  # which project this is, and until when
    enclave.tables()                                   # what is in your extract
    enclave.sql("SELECT … FROM …").df()                # pandas; .arrow() and .pl() too
    enclave.request_release(["table.csv"], title="…", context="…")

In a notebook, a cell that begins with ``%%sql`` is a query; ``%%sql name`` keeps its result as a DataFrame in ``name``.
Every query is recorded with your name. Data never leaves by download: ask for a release, two people review it.
"""

from __future__ import annotations

from enclave_client.errors import EnclaveError
from enclave_client.queries import Result, connect, sql
from enclave_client.releases import ReleaseRequest, request_release
from enclave_client.space import project, tables

__all__ = ["EnclaveError", "ReleaseRequest", "Result", "connect", "project", "request_release", "sql", "tables"]


def load_ipython_extension(shell: object) -> None:
    """Called by IPython: adds the ``%%sql`` cell."""
    from enclave_client.magic import register

    register(shell)

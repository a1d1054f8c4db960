"""``enclave node``: workers of another machine's Dask clusters run here (ADR 32)."""

from __future__ import annotations


def node() -> None:
    """Run this machine as a compute node of the enclave that node_home names, until SIGTERM or Ctrl-C."""
    from enclave.compute_nodes.serve import main  # the other commands need not load it

    raise SystemExit(main())

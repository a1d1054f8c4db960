"""Dask over the project's extract: a table as a Dask DataFrame, aggregates in parts, a cluster inside the workspace.

    from enclave_client import dask as enclave_dask

    with enclave_dask.client():                                  # two worker processes in this workspace
        visit = enclave_dask.table("visit")                      # a dask.dataframe; nothing is read yet
        visit[visit.year > 2020].groupby("sex").age.mean().compute()

    enclave_dask.aggregate("visit", by=["sex"], values={"n": ("count", "*"), "age": ("mean", "age")})

Each partition is fetched with a one-time ticket and is a query of its own on record; the columns and simple filters of
a computation go into the ticket, so the gateway sends no more than is used. ``aggregate`` has the gateway add up each
part and only combines: prefer it where it can say what you want, and plain ``enclave.sql`` where one query can.
"""

from __future__ import annotations

from enclave_client.dask.aggregates import aggregate
from enclave_client.dask.clusters import client, cluster
from enclave_client.dask.frames import table

__all__ = ["aggregate", "client", "cluster", "table"]

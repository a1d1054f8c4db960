"""Dask clusters of researchers: dask-gateway's server and proxy, behind a door per workspace, over islands (ADR 27)."""

"""Compute nodes: other machines of the site on which workers of Dask clusters run (ADR 32)."""

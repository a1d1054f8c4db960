"""The things a policy decides about; the values are the action names of the Cedar schema."""

from __future__ import annotations

from enum import StrEnum


class PolicyAction(StrEnum):
    """Stored strings, also in records and in ``access_policies/schema.cedarschema``."""

    QUERY = "query"
    """Run a statement on the project's extract."""
    LIST_TABLES = "list-tables"
    """See names, types and row counts of the extract's tables."""
    REQUEST_RELEASE = "request-release"
    """Ask that files of the outbox leave the project."""
    OPEN_WORKSPACE = "open-workspace"
    """Start JupyterLab in the project space."""
    RUN_CLUSTER = "run-cluster"
    """Start, scale and stop Dask workers beside the own workspace."""
    SEND_CANARY = "send-canary"
    """Run an auditor's test query, which reads no table."""

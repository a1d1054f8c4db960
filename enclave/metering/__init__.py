"""What workspaces, storage and queries use, per project: measured, kept in files, shown as a page and to Prometheus.

Contract: counts only grow and survive the end of a kernel, a workspace, the hub and the machine (``ledger``,
``storage``). Queries are not counted here: they are read from the audit log, so that anybody can check them.
Non-goal: limiting anything.
"""

"""The trusted research environment: portal, gateway, workspaces, edge and what ties them together (DESIGN.md)."""

"""The trusted research environment: portal, gateway, workspaces, edge and what ties them together (DESIGN.md)."""

from audit.starting import leave_out

# jsonschema's, for the formats "iri" and "duration", which no schema of Jupyter's uses: it builds their grammars when
# it is imported, 1.4 s of processor time. Without them it leaves both unchecked, as it documents.
leave_out("rfc3987_syntax", "isoduration")

"""The catalogue: what an extract holds, read from its manifest."""

from enclave.catalogue.manifests import CatalogueError, find_manifest, list_tables, read_manifest

__all__ = ["CatalogueError", "find_manifest", "list_tables", "read_manifest"]

"""Where the files and sockets of one enclave lie: everything below ``home`` (DESIGN.md)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path


class HousePlaces:
    """Paths from the two settings that move them; nothing is made here."""

    home: Path
    run_folder: Path | None

    @cached_property
    def root(self) -> Path:
        """``home`` as an absolute path."""
        return self.home.absolute()

    @property
    def run_dir(self) -> Path:
        """Sockets and process state; nothing in it survives a stop."""
        return self.run_folder.absolute() if self.run_folder else self.root / "run"

    @property
    def audit_socket(self) -> Path:
        """In a folder of its own, so that a sandbox can mount the folder and see the socket of a restarted daemon."""
        return self.run_dir / "audit" / "audit.sock"

    @property
    def portal_socket(self) -> Path:
        return self.run_dir / "portal.sock"

    @property
    def hub_socket(self) -> Path:
        return self.run_dir / "hub.sock"

    @property
    def edge_api_socket(self) -> Path:
        """JupyterHub's proxy API, served by the edge."""
        return self.run_dir / "edge.sock"

    @property
    def gateway_control_socket(self) -> Path:
        """The hub tells the gateway front here that a workspace starts or stops."""
        return self.run_dir / "gateway.sock"

    @property
    def clusters_socket(self) -> Path:
        """The clusters' service says here that it runs; nobody else's business goes through it."""
        return self.run_dir / "clusters.sock"

    @property
    def clusters_dir(self) -> Path:
        """A file per cluster whose end is not recorded yet. Mode 0700."""
        return self.root / "clusters"

    @property
    def log_dir(self) -> Path:
        """The published tlog-tiles tree: public to auditors, holds no payload."""
        return self.root / "log"

    @property
    def audit_dir(self) -> Path:
        """Write-ahead file, encrypted payloads, signing key; the audit daemon's own."""
        return self.root / "audit"

    @property
    def index_dir(self) -> Path:
        """Parquet index over the log for searching; derived, may be deleted at any time."""
        return self.root / "index"

    @property
    def usage_dir(self) -> Path:
        """``<project>/<person>.json``: what a person was sent today; written by all gateway fronts."""
        return self.root / "usage"

    @property
    def tickets_dir(self) -> Path:
        """One-time tickets for parts of a table, shared by all replicas of the gateway front. Mode 0700."""
        return self.root / "gateway" / "tickets"

    @property
    def metering_dir(self) -> Path:
        """``<project>/``: what its workspaces used and what it stores, by day. Mode 0700."""
        return self.root / "metering"

    @property
    def exposure_dir(self) -> Path:
        """``<project>/<username>.json``: what a person was shown today; written by the edge."""
        return self.root / "exposure"

    @property
    def shown_dir(self) -> Path:
        """``<project>/<username>/<day>.jsonl``: what was shown, sealed, where a permit orders it."""
        return self.root / "shown"

    @property
    def shown_key(self) -> Path:
        """The public key the archive of displayed output is sealed to; its private half is not on this machine."""
        return self.keys_dir / "shown-archive.pub"

    @property
    def keys_dir(self) -> Path:
        """Token and receipt keys, service secrets. Mode 0700."""
        return self.root / "keys"

    @property
    def access_dir(self) -> Path:
        """``people.json``, written by the portal, read by the gateway."""
        return self.root / "access"

    @property
    def producer_dir(self) -> Path:
        """The data producer's side: sources, opt-outs, pseudonym keys. Never mounted into the enclave's processes."""
        return self.root / "producer"

    @property
    def projects_dir(self) -> Path:
        return self.root / "projects"

    @property
    def workspaces_dir(self) -> Path:
        """``<project>/<username>/`` is a researcher's home; its ``outbox/`` is what can be asked to leave."""
        return self.root / "workspaces"

    @property
    def shared_dir(self) -> Path:
        """``<project>/``: the folder that members of a project share, as a file system of its own. Mode 0700."""
        return self.root / "shared"

    @property
    def vault_dir(self) -> Path:
        """Snapshots of output requests by hash."""
        return self.root / "vault"

    @property
    def database_dir(self) -> Path:
        return self.root / "portal"

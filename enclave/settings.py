"""All settings, one frozen object: prefix ``ENCLAVE_``; file ``enclave.toml`` here or the one ``ENCLAVE_CONFIG`` names.

A name in the file that no setting has refuses the start (``enclave.configuration``).
Non-goal: secrets. Keys and service secrets are files under ``keys/`` (see ``enclave.keys``), never settings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from enclave.configuration import SettingsFile
from enclave.domain.origins import workspace_label
from enclave.places import HousePlaces

REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(HousePlaces, BaseSettings):
    """Frozen. ``home`` is made absolute once; every other path follows from it."""

    model_config = SettingsConfigDict(env_prefix="ENCLAVE_", frozen=True, extra="ignore")

    home: Path = Path(".enclave")
    """Folder with all state of this enclave: keys, log, database, projects, workspaces, sockets."""
    host: str = "127.0.0.1"
    """Address the edge listens on; the only TCP listener unless ``gateway_tcp`` or ``cluster_nodes`` is set."""
    port: int = 8000
    """Port the edge listens on; every browser comes through it."""
    portal_name: str = "portal.localhost"
    """Host name of the portal, as browsers know it."""
    hub_name: str = "hub.localhost"
    """Host name of the hub; workspaces have names below it."""
    scheme: Literal["http", "https"] = "http"
    """What browsers speak; ``https`` also where a proxy of the site's ends TLS before the edge."""
    passwords_in_clear_over_the_network: bool = False
    """Listen with ``http`` beyond this machine although passwords and sessions can be read on the way. On record."""
    workspace_origins: bool = True
    """Each workspace under a name of its own, ``<username>--<project>.<hub_name>``; needs a wildcard DNS name."""
    edge_tls_certificate: Path | None = None
    """PEM file with the certificate and its chain; with it the edge speaks TLS and ``scheme`` must be https."""
    edge_tls_key: Path | None = None
    """PEM file with the certificate's key, readable by its owner only."""
    database_url: str = ""
    """Empty: SQLite in ``portal/``. Otherwise ``postgresql://…``, with libpq's parameters (``?sslmode=…``)."""
    hospital: str = "Hôpital Sainte-Claire"
    """Name of the house, on every page."""
    site_language: Literal["fr", "en"] = "en"
    """Language of pages for whoever has chosen none."""
    log_origin: str = "enclave.localhost/log"
    """Origin line of the audit log's checkpoints and name of its key (C2SP tlog-checkpoint)."""
    audit_uid: int = 299_001
    """Account of the audit daemon when the enclave is started by root; 0: the account that starts it."""
    audit_policy: Path | None = None
    """tlog-policy file: the log and the witnesses of other organisations that cosign it. None: no witness."""
    audit_tsa: str = ""
    """URL of an RFC 3161 time-stamping authority that stamps a checkpoint every hour. Empty: none."""
    audit_exports: Path | None = None
    """File that names where records are exported to (SIEM, FHIR server). None: nowhere."""
    alert_thresholds: Path | None = None
    """TOML file with the site's own thresholds for alerts. None: those shipped."""
    engine: Literal["bubblewrap", "docker"] = "bubblewrap"
    """What isolates workspaces. Query workers and builds are always in bubblewrap."""
    docker_host: str = Field(default="unix:///var/run/docker.sock", pattern=r"^unix:///")
    """The daemon of this machine; who may write to its socket is root here."""
    docker_image: str = "enclave-workspace-python"
    """Name or digest of the workspace's image in it."""
    selftest_days: int = Field(default=7, ge=0)
    """Days between self-tests that the runner begins by itself; also after an update. 0: only when asked."""
    image: Path = REPOSITORY / ".images" / "python"
    """The Python environment that is mounted at /opt/image in a workspace."""
    metrics: str = "unix"
    """Where Prometheus finds the figures: ``unix`` (``run/metrics.sock``), ``127.0.0.1:port``, or empty: nowhere."""
    metrics_titles: bool = False
    """Show Prometheus the projects' titles beside their ids."""
    usage_prices: Path | None = None
    """TOML file with the prices of the cost grid. None: use is shown without costs."""
    metering_minutes: float = Field(default=15.0, gt=0)
    """How often the storage of all projects is measured."""
    workspaces: int = Field(default=50, ge=1)
    """Workspaces at once, all projects together; each may use the memory its permit says."""
    cluster_workers: int = Field(default=0, ge=0, le=256)
    """Workers of Dask clusters that one workspace may have at once (ADR 27). 0: no clusters."""
    cluster_nodes: tuple[str, ...] = ()
    """Compute nodes, each ``name=host:port`` with the name in its certificate (ADR 32). Empty: workers run here."""
    cluster_address: str = ""
    """``host:port`` where workers on compute nodes reach their cluster and the gateway: this machine's own address."""
    cluster_tls_certificate: Path | None = None
    """PEM certificate chain of this machine among home and compute nodes, its own certificate first."""
    cluster_tls_key: Path | None = None
    """Its private key (PEM, mode 0600)."""
    cluster_tls_ca: Path | None = None
    """PEM certificates of the site's authority: home and nodes show each other certificates of it."""
    node_address: str = ""
    """On a compute node: ``host:port`` where it listens for home and the other nodes."""
    node_home: str = ""
    """On a compute node: the name in the certificate of the enclave that it works for."""
    node_workers: int = Field(default=0, ge=0, le=256)
    """On a compute node: workers of Dask clusters that may run on it at once."""
    node_memory_mb: int = Field(default=0, ge=0)
    """On a compute node: memory that the workers of one workspace may use here. 0: as much as its permit says."""
    node_folder: Path = Path("/dev/shm/enclave-node")  # noqa: S108  (root's own folder in it; checked at start)
    """On a compute node: sockets and tokens of what runs there, in memory (tmpfs)."""
    r_image: Path = REPOSITORY / ".images" / "r"
    """Root file system of R kernels. Not there: workspaces have no R."""
    image_root: Path | None = None
    """Root file system whose /usr servers and Python kernels see. None: the machine's own."""
    package_mirror: str = ""
    """Address of the site's own package index (PEP 503). Empty: packages can be asked for, but none arrives."""
    package_mirror_also: tuple[str, ...] = ()
    """``host`` or ``host:port`` of further https servers that the mirror's index may lead to."""
    package_set_mb: int = Field(default=2048, ge=1)
    """What all added packages of one project may hold together, unpacked."""
    package_minutes: float = Field(default=15.0, gt=0)
    """How long fetching a package may take."""
    check_seconds: int = Field(default=20, ge=1)
    """Processor seconds that reading one file of an outbox may take; twice as much by the clock (ADR 34)."""
    check_memory_mb: int = Field(default=1024, ge=256)
    """Memory for reading one file of an outbox."""
    checks_at_once: int = Field(default=2, ge=1, le=4)
    """Files of researchers that are read at once; as many again for those who review."""
    token_minutes: int = 15
    """How long a workspace's gateway token holds; it is renewed before."""
    query_memory_mb: int = Field(default=2048, ge=256)
    """DuckDB's memory limit in one query worker; there is a worker per person who queries."""
    query_threads: int = Field(default=0, ge=0)
    """Threads of one query worker; 0: as many as the machine has cores."""
    query_spill_mb: int = Field(default=8192, ge=0)
    """Disk that one worker may use for what does not fit into its memory."""
    query_scratch_mb: int = Field(default=2048, ge=0)
    """Disk that one person may keep intermediate results in, per project."""
    query_workers: int = Field(default=32, ge=1)
    """Query workers at once, all projects together."""
    run_folder: Path | None = None
    """Sockets and process state of a gateway replica on another machine. None: ``run/`` under ``home``."""
    gateway_tcp: str = ""
    """``host:port`` where the gateway also speaks Flight SQL over TLS. Empty: unix sockets only."""
    gateway_tls_certificate: Path | None = None
    """PEM certificate chain of the TCP port, its own certificate first."""
    gateway_tls_key: Path | None = None
    """Its private key (PEM, mode 0600)."""
    gateway_tls_client_ca: Path | None = None
    """PEM certificates of the authority that issues client certificates: every client has to show one. None: no."""
    gateway_replicas: int = Field(default=0, ge=0, le=8)
    """Further gateway fronts on this machine, ``r1`` …; with ``gateway_tcp`` at the ports that follow its own."""
    gateway_locations: tuple[str, ...] = ()
    """``grpc+tls://host:port`` of all replicas, told to clients that read a table in parts."""
    demo: bool = False
    """True only for ``enclave demo``: sample people with printed second factors exist."""
    demo_witness_port: int = 0
    """Where the demonstration's own witness listens on loopback; 0: there is none."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file. Raises RefusedError for the file."""
        named = os.environ.get("ENCLAVE_CONFIG")
        file = SettingsFile(settings_cls, Path(named or "enclave.toml"), is_named=bool(named))
        return init_settings, env_settings, file

    @property
    def portal_url(self) -> str:
        return self._origin(self.portal_name)

    @property
    def hub_url(self) -> str:
        return self._origin(self.hub_name)

    def workspace_origin(self, username: str, project: str) -> str:
        """Scheme, name and port under which a browser finds this workspace."""
        label = f"{workspace_label(username, project)}." if self.workspace_origins else ""
        return self._origin(label + self.hub_name)

    def _origin(self, name: str) -> str:
        """As browsers write it (RFC 6454 6.2): the scheme's own port is left away."""
        is_usual = (self.scheme, self.port) in (("http", 80), ("https", 443))
        return f"{self.scheme}://{name}" + ("" if is_usual else f":{self.port}")


def get_settings() -> Settings:
    """The settings of this process, read anew (cheap); pass the object on instead of calling this twice."""
    return Settings()

"""Where Prometheus is answered: on this machine alone."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from enclave.settings import Settings


class MetricsAddressError(Exception):
    """The setting ``metrics`` names no place that only this machine reaches."""


def metrics_address(settings: Settings) -> Path | tuple[str, int] | None:
    """Raises MetricsAddressError."""
    if not settings.metrics:
        return None
    if settings.metrics == "unix":
        return settings.run_dir / "metrics.sock"
    host, _, port = settings.metrics.rpartition(":")
    try:
        is_loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback or not port.isdecimal() or not 0 < int(port) < 65536:
        raise MetricsAddressError(
            'Expected "unix", "127.0.0.1:port", "[::1]:port" or nothing as the setting `metrics`, found something '
            "else. The figures have no password, so they are served on this machine alone."
        )
    return host.strip("[]"), int(port)

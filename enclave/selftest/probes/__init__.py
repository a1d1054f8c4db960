"""The catalogue of probes. Standard library only; runs inside, as one file (``enclave.selftest.bundle``)."""

from __future__ import annotations

from . import (
    bombs,
    devices,
    families,
    files,
    inherited,
    kernel_call_table,
    network,
    planted,
    privilege,
    processes,
    shared,
)
from .model import Probe

CATALOGUE: tuple[Probe, ...] = (
    *network.PROBES,
    *families.PROBES,
    *files.PROBES,
    *planted.PROBES,
    *shared.PROBES,
    *devices.PROBES,
    *kernel_call_table.PROBES,
    *processes.PROBES,
    *privilege.PROBES,
    *inherited.PROBES,
    *bombs.PROBES,
)

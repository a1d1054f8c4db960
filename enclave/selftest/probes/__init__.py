"""The catalogue of probes. Standard library only; runs inside, as one file (``enclave.selftest.bundle``)."""

from __future__ import annotations

from . import bombs, devices, files, inherited, kernel_calls, network, privilege, processes
from .model import Probe

CATALOGUE: tuple[Probe, ...] = (
    *network.PROBES,
    *files.PROBES,
    *devices.PROBES,
    *kernel_calls.PROBES,
    *processes.PROBES,
    *privilege.PROBES,
    *inherited.PROBES,
    *bombs.PROBES,
)

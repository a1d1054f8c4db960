"""Enclave's audit log: an append-only transparency log in the C2SP tlog-tiles layout.

The package imports nothing else of Enclave, so an auditor can carry it away and run ``enclave-audit verify`` alone
(needs only ``cryptography``, ``orjson`` and ``typer``). Pure parts: ``canonical``, ``event``, ``merkle``, ``note``,
``checkpoint``, ``tiles``, ``policy``, ``cosignature``. The log: ``daemon``, ``client``, ``wal``, ``payloads``. Its
readers: ``reader``, ``proof``, ``verify``, ``index``, ``alerts``, ``exports``. For others: ``witness``. See FORMAT.md.
"""

from audit.starting import leave_out

leave_out("rich")  # structlog's, for tracebacks on a terminal: a third of the audit daemon's start

"""Enclave's audit log: an append-only transparency log in the C2SP tlog-tiles layout.

The package imports nothing else of Enclave, so an auditor can carry it away and run ``enclave-audit verify`` alone
(needs only ``cryptography``, ``orjson`` and ``typer``). Pure parts: ``canonical``, ``event``, ``merkle``, ``note``, ``checkpoint``,
``tiles``. Parts that touch files or sockets: ``durable``, ``wal``, ``payloads``, ``publisher``, ``daemon``, ``client``,
``reader``, ``proof``, ``verify``, ``cli``.
"""

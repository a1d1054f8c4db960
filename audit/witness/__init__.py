"""A C2SP witness (c2sp.org/tlog-witness) that another organisation runs: ``enclave-audit witness run``.

It remembers the newest checkpoint of each log it knows and cosigns only what continues it. HTTP without TLS: put a
reverse proxy in front when the network is not trusted. Subtrees are not signed (an optional part of the protocol).
"""

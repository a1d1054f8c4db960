"""Ports for servers that can only be told a number. Imported as ``enclave_test_ports``.

Two runs at once on one machine: give one of them another first port, ``ENCLAVE_TEST_PORTS=28000``.
"""

import itertools
import os
import socket

_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_EACH = 1500
_FIRST = int(os.environ.get("ENCLAVE_TEST_PORTS", "16000")) + _PROCESS % 8 * _EACH
_NEXT = itertools.cycle(range(_FIRST, _FIRST + _EACH))


def free_port(address: str = "127.0.0.1") -> int:
    """A port of this test process that nobody listens on: below those the kernel gives to outgoing connections.

    So nobody takes it between this answer and the server's start, and none comes twice soon.
    """
    for port in itertools.islice(_NEXT, _EACH):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise OSError(f"None of {_EACH} ports is free at {address}.")

"""Where the gateway is and which token to show: both read anew each time (tokens change)."""

from __future__ import annotations

import json
import os
from typing import Any

from enclave_client.errors import AWAY, EnclaveError, as_sentence, is_login_problem


def gateway_address() -> str:
    """``grpc+unix:///run/enclave/gateway.sock`` in a workspace."""
    return os.environ.get("ENCLAVE_GATEWAY", "grpc+unix:///run/enclave/gateway.sock")


def read_token() -> str:
    """The workspace's current token. Raises EnclaveError when there is none."""
    file = os.environ.get("ENCLAVE_TOKEN_FILE", "/run/enclave/token")
    try:
        with open(file, "rb", buffering=0) as content:  # noqa: PTH123 - for every query: a Path's text takes twice as long
            return content.read().decode().strip()
    except OSError as error:
        raise EnclaveError(
            f"Expected this workspace's token in {file}, found none. Stop and start the workspace."
        ) from error


def call_action(name: str, body: dict[str, Any] | bytes | None = None) -> Any:
    """One Flight action at the gateway; its JSON answer. ``body``: JSON, or bytes as they are. Raises EnclaveError."""
    import pyarrow.flight as flight

    try:
        return _call_once(name, body)
    except flight.FlightError as error:
        if not is_login_problem(error):
            raise EnclaveError(as_sentence(error)) from error
    except OSError as error:
        raise EnclaveError(AWAY) from error
    try:
        return _call_once(name, body)
    except (flight.FlightError, OSError) as error:
        raise EnclaveError(as_sentence(error)) from error


def _call_once(name: str, body: dict[str, Any] | bytes | None) -> Any:
    import pyarrow.flight as flight

    options = flight.FlightCallOptions(timeout=120, headers=[(b"authorization", f"Bearer {read_token()}".encode())])
    with flight.connect(gateway_address()) as client:
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        action = flight.Action(name, content)
        parts = [part.body.to_pybytes() for part in client.do_action(action, options)]
    return json.loads(b"".join(parts) or b"null")

"""``enclave serve``: run all processes in the foreground, for systemd or a shell."""

from __future__ import annotations

from enclave.before_start import check_before_start, warn_of_unknown_variables
from enclave.domain.decisions import RefusedError
from enclave.guardian import guard
from enclave.keys import ensure_keys
from enclave.logs import configure
from enclave.settings import get_settings
from enclave.supervisor import StopSignal


def serve() -> None:
    """Start the enclave of ENCLAVE_HOME and keep it running until SIGTERM or Ctrl-C."""
    configure("guardian")
    settings = get_settings()
    if settings.run_folder is not None:
        raise RefusedError(
            "Expected no run_folder for a whole enclave, found one: it is for a replica of the gateway on another "
            "machine (`enclave gateway serve`). Unset ENCLAVE_RUN_FOLDER."
        )
    warn_of_unknown_variables()
    check_before_start(settings)
    settings.root.mkdir(parents=True, exist_ok=True)
    ensure_keys(settings)
    raise SystemExit(guard(settings, StopSignal()))

"""What is looked at before any process starts, so that a whole enclave is refused with one sentence.

The processes check again what is theirs. Non-goal: the machine, which ``enclave doctor`` looks at.
"""

from __future__ import annotations

import os

import structlog

from enclave.configuration import find_unknown_variables
from enclave.domain.decisions import RefusedError
from enclave.edge.tls import TlsError, find_tls_context
from enclave.portal.database_address import database_settings
from enclave.settings import Settings

log = structlog.get_logger()


def check_before_start(settings: Settings) -> None:
    """Raise RefusedError when these settings cannot be meant."""
    try:
        find_tls_context(settings)
    except TlsError as error:
        raise RefusedError(str(error)) from error
    database_settings(settings)


def warn_of_unknown_variables() -> None:
    """A line for the operator for each ``ENCLAVE_…`` in the environment that nobody reads. Its value is not said."""
    for found in find_unknown_variables(os.environ, Settings.model_fields):
        log.warning("unknown-variable", name=found.name, meant=found.meant, remedy="correct or unset it")

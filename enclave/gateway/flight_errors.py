"""The one place where the gateway's refusals and failures become Flight errors (gRPC status plus our sentence).

Only ``FlightError`` classes are used: pyarrow appends the traceback to the message of any other exception.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from pyarrow import flight

from enclave.gateway.admission import CallRefusedError
from enclave.gateway.gate import StatementRefusedError
from enclave.gateway.protobuf_wire import WireError
from enclave.gateway.recording import RecordingFailedError
from enclave.gateway.release import ReleaseRefusedError
from enclave.gateway.worker_stream import QueryFailedError

_log = structlog.get_logger()


@contextmanager
def as_flight_errors() -> Iterator[None]:
    """Translate; anything unexpected becomes a sentence without details, and its kind goes to the operators' log."""
    try:
        yield
    except (StopIteration, GeneratorExit):
        raise
    except Exception as error:
        raise translate(error) from None


def translate(error: Exception) -> Any:
    """The Flight error a client sees for ``error``."""
    match error:
        case CallRefusedError(about_token=True):
            return flight.FlightUnauthenticatedError(_ended(error.sentence))
        case CallRefusedError():
            return flight.FlightUnauthorizedError(_ended(error.sentence))
        case StatementRefusedError():
            return flight.FlightServerError(_ended(error.sentence))
        case WireError():
            return flight.FlightServerError(f"This is not a Flight SQL request: {error}")
        case QueryFailedError(status="cancelled"):
            return flight.FlightCancelledError(_ended(error.sentence))
        case QueryFailedError():
            return flight.FlightServerError(_ended(error.sentence))
        case RecordingFailedError():
            return flight.FlightUnavailableError(_ended(str(error)))
        case ReleaseRefusedError():
            return flight.FlightServerError(_ended(str(error)))
        case flight.FlightError():
            return error
        case _:
            _log.error("unexpected-error", kind=type(error).__name__, raised_at=_place(error))
            return flight.FlightInternalError("The gateway met an error it does not know. Tell the administrator.")


def _ended(sentence: str) -> str:
    """Flight goes on after the message with ". Detail: …"."""
    return sentence.removesuffix(".")


def _place(error: Exception) -> str:
    """File and line that raised it, for the operators: a place, never a value."""
    frames = list(traceback.walk_tb(error.__traceback__))  # extract_tb would heed the front's tracebacklimit of 0
    frame, line = frames[-1]
    return f"{Path(frame.f_code.co_filename).name}:{line}"

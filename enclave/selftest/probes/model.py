"""What a probe is, and how one attempt becomes an outcome. Standard library only: this package is sent inside.

An attempt returns a sentence of evidence when the door is open (never a secret: lengths, counts and kinds), and raises
OSError or ``Closed`` when it is shut. ``NotApplicable`` says that there is nothing here to try. Anything else is an
error of the probe, which counts as a failure of the self-test: a probe that did not run has proved nothing.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

CLOSED, OPEN, ERROR, NOT_APPLICABLE = "closed", "open", "error", "not-applicable"
STATES = (CLOSED, OPEN, ERROR, NOT_APPLICABLE)
Targets = Mapping[str, Any]
Attempt = Callable[[Targets], str]


class Closed(Exception):
    """The attempt was stopped; the text says by what."""


class NotApplicable(Exception):
    """There is nothing to attack here; the text says why."""


@dataclass(frozen=True)
class Probe:
    """One attack. ``noted``: what it finds is written down and harms nobody by itself."""

    id: str
    group: str
    en: str
    fr: str
    attempt: Attempt
    seconds: float = 60.0
    """Generous: a busy machine is no open door, and a probe that has not ended proves nothing."""
    noted: bool = False
    places: tuple[str, ...] = ("server", "kernel")
    """Where it makes sense; ``server`` holds descriptors that only a server must have."""
    alone: bool = False
    """In a kernel of its own, which may end with it."""


@dataclass(frozen=True)
class Outcome:
    """``state`` is one of STATES; ``detail`` is evidence, an error's name or a reason."""

    state: str
    detail: str


def attempt_outcome(probe: Probe, targets: Targets) -> Outcome:
    """Try once, in this process."""
    try:
        return Outcome(OPEN, probe.attempt(targets))
    except NotApplicable as reason:
        return Outcome(NOT_APPLICABLE, str(reason))
    except Closed as reason:
        return Outcome(CLOSED, str(reason))
    except MemoryError:
        return Outcome(CLOSED, "out of memory")
    except TimeoutError:
        return Outcome(CLOSED, "no answer")
    except OSError as error:
        return Outcome(CLOSED, error_name(error.errno))
    except Exception as error:
        return Outcome(ERROR, type(error).__name__)


def error_name(number: int | None) -> str:
    """``EPERM`` and the like."""
    return errno.errorcode.get(number or 0, "no number")


TERMINAL = "terminal"
ESSENTIAL = (
    "network",
    "host-files",
    "host-sockets",
    "writing",
    "shared-folder",
    "processes",
    "server-wall",
    "privilege",
)
"""Groups that are tried in a terminal's sandbox as well, which is made like a kernel's."""


def is_tried(probe: Probe, place: str) -> bool:
    """Does a self-test try it there?"""
    if place == TERMINAL:
        return probe.group in ESSENTIAL and "kernel" in probe.places and not probe.alone
    return place in probe.places


def signal_outcome(number: int) -> Outcome:
    """A probe's process that was killed: by the filter or by a limit, or by a fault of its own."""
    name = signal.Signals(number).name
    stopped = number in (signal.SIGSYS, signal.SIGKILL, signal.SIGXFSZ)
    return Outcome(CLOSED if stopped else ERROR, f"killed by {name}")


def target(targets: Targets, name: str) -> Any:
    """A target by name; NotApplicable where this installation has none."""
    found = targets.get(name)
    if found is None or found == "":
        raise NotApplicable("nothing of this kind on this machine")
    return found

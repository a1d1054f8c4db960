"""What every Python client's program shares: the environment the test gives, and one line of JSON per check."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

ENV = os.environ
SOCKET, ADDRESS = ENV["ENCLAVE_SOCKET"], ENV["ENCLAVE_ADDRESS"]
TOKEN, WRONG_TOKEN, EXPIRED_TOKEN = ENV["ENCLAVE_TOKEN"], ENV["ENCLAVE_WRONG_TOKEN"], ENV["ENCLAVE_EXPIRED_TOKEN"]
LARGE_CHARACTERS = int(ENV["LARGE_CHARACTERS"])
ODD_TEXT = ENV["ODD_TEXT"]


def _pem(name: str) -> str | None:
    return Path(ENV[name]).read_text() if name in ENV else None


ROOTS, CERTIFICATE, KEY = map(_pem, ("ENCLAVE_TLS_ROOTS", "ENCLAVE_TLS_CERTIFICATE", "ENCLAVE_TLS_KEY"))
"""PEM texts: with ``ROOTS`` the client speaks TLS to ``ADDRESS``, with the others mutual TLS."""


class NotOfferedError(Exception):
    """The client has no such thing."""


def sql(name: str) -> str:
    """A statement of the suite."""
    return ENV[f"SQL_{name}"]


def expect(found: object, wanted: object) -> None:
    assert found == wanted, f"expected {wanted!r}, found {found!r}"


def refused(call: Callable[[], object], sentence: str) -> None:
    """The call fails, and what the user sees contains the sentence."""
    try:
        call()
    except NotOfferedError:
        raise
    except BaseException as error:
        text = f"{error} {error.__cause__ or ''}"  # both are shown to the user
        assert sentence in text, f"expected {sentence!r} in {text!r}"
        assert "Traceback" not in text
        return
    raise AssertionError(f"expected a refusal with {sentence!r}, found none")


def ends_early(call: Callable[[], object], cancel: Callable[[], object]) -> None:
    """``cancel`` from another thread ends ``call`` within ten seconds."""
    started = time.monotonic()
    timer = threading.Timer(1.0, cancel)
    timer.start()
    try:
        call()
    except Exception:
        assert time.monotonic() - started < 10, "it did not end when it was cancelled"
        return
    finally:
        timer.join()
    raise AssertionError("expected the cancelled call to fail, and it did not")


def not_offered() -> None:
    raise NotOfferedError


def run(checks: dict[str, Callable[[], object]]) -> None:
    """Run each wanted check; one line each: name, ``yes``, ``not-offered`` or ``no``, the seconds and the trouble."""
    wanted = ENV["ENCLAVE_CHECKS"].split("|") if "ENCLAVE_CHECKS" in ENV else list(checks)
    for name, check in checks.items():
        if name not in wanted:
            continue
        started, trouble = time.monotonic(), ""
        try:
            check()
            result = "yes"
        except NotOfferedError:
            result = "not-offered"
        except BaseException as error:
            result, trouble = "no", f"{type(error).__name__}: {error}"[:1500]
        seconds = round(time.monotonic() - started, 2)
        print(json.dumps({"check": name, "result": result, "seconds": seconds, "trouble": trouble}), flush=True)

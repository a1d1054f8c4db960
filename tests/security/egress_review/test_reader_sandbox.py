"""Nothing is reachable from where a researcher's file is read: tried in that sandbox, and outside as the control."""

from __future__ import annotations

import importlib.util
import socket
import tempfile
from pathlib import Path
from types import ModuleType


def _load() -> ModuleType:
    # pytest's importlib mode puts no test folder on sys.path.
    spec = importlib.util.spec_from_file_location("egress_reader_probe", Path(__file__).with_name("reader_probe.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_is_reachable_from_where_files_are_read() -> None:
    """A program in exactly that sandbox, then with what a reader gives up; outside, the same acts succeed."""
    probe = _load()
    with (
        tempfile.TemporaryDirectory(prefix="en", dir="/tmp") as home,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        name = Path(home).name
        abstract.bind(f"\0{name}")
        abstract.listen()
        secrets = [Path(home) / folder / "secret" for folder in ("vault", "portal", "keys", "audit")]
        for secret in secrets:
            secret.parent.mkdir()
            secret.write_text("secret")
        told = [[home, "/etc/shadow", *map(str, secrets)], listener.getsockname()[1], name]
        found, control = probe.tried(told), probe.tried(told, outside=True)
        Path(f"/tmp/{name}-probe").unlink()
    assert [what for what, outcome in found.items() if outcome != "closed"] == []
    assert [what for what, outcome in control.items() if outcome != "OPEN"] == []
    assert set(found) == {*control, "confined: program"}

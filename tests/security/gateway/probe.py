"""Runs inside the worker's sandbox: tries what a hostile statement that took over the worker would try."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path


def attempt(action: object) -> str:
    try:
        result = action()  # type: ignore[operator]
    except OSError as error:
        return type(error).__name__
    return f"worked: {result}"[:100]


def main(home: str) -> None:
    root = Path(home)
    targets = {
        "home": lambda: list(root.iterdir()),
        "other extract": lambda: list((root / "projects" / "lung-study").iterdir()),
        "own project's permit": lambda: (root / "projects" / "heart-study" / "permit.yaml").read_text(),
        "keys": lambda: (root / "keys" / "service.secret").read_text(),
        "producer": lambda: list((root / "producer").iterdir()),
        "people": lambda: (root / "access" / "people.json").read_text(),
        "audit socket": lambda: socket.socket(socket.AF_UNIX).connect(str(root / "run" / "audit.sock")),
        "shadow": lambda: Path("/etc/shadow").read_text(),
        "overwrite the extract": lambda: os.open("/extract/extract.duckdb", os.O_RDWR),
        "new file beside the extract": lambda: Path("/extract/new").write_text("x"),
        "write program": lambda: Path(sys.prefix, "x").write_text("x"),
        "internet": lambda: socket.create_connection(("1.1.1.1", 53), 2),
        "loopback": lambda: socket.create_connection(("127.0.0.1", 8000), 2),
        "fill tmp": lambda: Path("/tmp/big").write_bytes(b"x" * 2_000_000),
        "become root": lambda: os.setuid(0),
        "mount": lambda: os.unshare(0x00020000) if hasattr(os, "unshare") else os.chroot("/tmp"),
        "signal outside": lambda: os.kill(int(sys.argv[2]), 0),
    }
    found = {name: attempt(action) for name, action in targets.items()}
    found["environment"] = " ".join(sorted(os.environ))
    found["extract is readable"] = str(Path("/extract/extract.duckdb").stat().st_size > 0)
    found["uid"] = str(os.getuid())
    found["processes"] = str(sum(path.name.isdigit() for path in Path("/proc").iterdir()))
    found["top folder"] = " ".join(sorted(path.name for path in Path("/").iterdir()))
    print(json.dumps(found))


main(sys.argv[1])

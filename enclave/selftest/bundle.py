"""The catalogue as one file that any Python 3.11 runs: what is sent inside is what is installed here, byte for byte."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

NAME = "selftest.pyz"
_PACKAGE = Path(__file__).parent / "probes"
_MAIN = """\
import sys
from probes import run, serve
raise SystemExit(serve.main(sys.argv[2:]) if sys.argv[1] == "serve" else run.main(sys.argv[1:]))
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def bundle() -> bytes:
    """The archive; the same sources give the same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (
            ("__main__.py", _MAIN),
            *((f"probes/{source.name}", source.read_text()) for source in sorted(_PACKAGE.glob("*.py"))),
        ):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text)
    return content.getvalue()


def bundle_sha256() -> str:
    """Says in a report which catalogue ran."""
    return hashlib.sha256(bundle()).hexdigest()

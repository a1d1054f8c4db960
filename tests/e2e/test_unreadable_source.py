"""A source that cannot be read, in an enclave of its own: a clear sentence, a refusal on record, the journey ends."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

PERMIT = Path(__file__).resolve().parents[2] / "examples" / "permits" / "mimic-demo.yaml"


def test_an_unreadable_source_is_refused_on_record(enclave_command: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="en", dir="/tmp") as folder:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ENCLAVE_")}
        command = [enclave_command, "demo", "--journey", "--source", tmp_path / "nowhere"]
        command += ["--permit", PERMIT]
        environment = {**kept, "ENCLAVE_HOME": f"{folder}/home", "ENCLAVE_CONFIG": os.environ["E2E_CONFIG"]}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == 1
        assert "nowhere" in result.stderr
        show = [enclave_command, "audit", "show", f"{folder}/home/log", "--type", "extract:refused"]
        shown = subprocess.run(show, capture_output=True, text=True, timeout=60, check=False)
        assert "extract:refused" in shown.stdout

"""``enclave-audit witness init``, ``witness run`` with wrong options, and ``policy check``, as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_witness import RunningWitness

from audit.cosignature import CosignerKey

CLI = [sys.executable, "-m", "audit.cli"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *words], capture_output=True, timeout=60, check=False, text=True)


@pytest.fixture
def witness() -> Iterator[RunningWitness]:
    made = RunningWitness()
    yield made
    made.remove()


def test_keys_are_made_once(witness: RunningWitness) -> None:
    assert [CosignerKey.parse(vkey).kind_name for vkey in witness.vkeys] == ["ed25519", "ml-dsa-44"]
    assert {path.stat().st_mode & 0o777 for path in witness.state.glob("*.key")} == {0o600}
    assert witness.state.stat().st_mode & 0o777 == 0o700
    again = run("witness", "init", "--name", "witness.example.test/w1", "--state", str(witness.state))
    assert again.stdout.splitlines() == witness.vkeys
    other = run("witness", "init", "--name", "witness.example.test/w2", "--state", str(witness.state))
    assert (other.returncode, other.stdout) == (2, "")
    assert "another name" in other.stderr
    (witness.state / "ml-dsa-44.key").unlink()
    lost = run("witness", "init", "--name", "witness.example.test/w1", "--state", str(witness.state))
    assert lost.returncode == 2
    assert "restore it from a copy" in lost.stderr
    assert "cannot be read" in witness.refuse_start()


def test_a_name_must_be_a_key_name(tmp_path: Path) -> None:
    made = run("witness", "init", "--name", "no spaces", "--state", str(tmp_path / "s"))
    assert (made.returncode, (tmp_path / "s").exists()) == (2, False)


@pytest.mark.parametrize("options", [("--log", "no key"), ("--key", "rsa"), ("--listen", "8600"), ("--listen", "x:y")])
def test_wrong_options(witness: RunningWitness, options: tuple[str, str]) -> None:
    assert witness.refuse_start(*options).startswith(("Expected", "no key cannot be read"))


def test_a_policy_in_words(witness: RunningWitness, tmp_path: Path) -> None:
    path = tmp_path / "policy"
    lines = [f"witness {name} {vkey} https://w.example.test" for name, vkey in zip("ab", witness.vkeys, strict=True)]
    path.write_text("\n".join([*lines, "group both any a b", "quorum both", ""]))
    said = run("policy", "check", str(path))
    assert said.returncode == 0
    assert "quorum   1 of (a, b)" in said.stdout
    assert "witness  b  witness.example.test/w1 (ml-dsa-44)  https://w.example.test" in said.stdout
    fields = json.loads(run("policy", "check", str(path), "--json").stdout)
    assert [item["vkey"] for item in fields["witnesses"]] == witness.vkeys
    path.write_bytes(path.read_bytes() + b"quorum \xff\n")
    wrong = run("policy", "check", str(path))
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("Policy line 5: ")
    assert run("policy", "check", str(tmp_path / "none")).returncode == 2

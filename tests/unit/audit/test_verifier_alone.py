"""An auditor installs the verifier with nothing but cryptography and orjson."""

import subprocess
import sys

ALLOWED = {"audit", "cryptography", "orjson", "_cffi_backend", "_openssl", "__mp_main__"}
CODE = """
import sys
before = set(sys.modules)
import audit.verify, audit.proof, audit.policy, audit.cosignature, audit.anchored
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_what_the_verifier_imports():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) <= ALLOWED
    assert not [name for name in done.stdout.split() if name.startswith("enclave")]

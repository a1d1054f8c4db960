"""How many files a service may have open, whoever started it."""

from __future__ import annotations

import resource
import subprocess
import sys

CODE = """
import resource
from enclave import descriptors
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
assert descriptors.limit() == 64
descriptors.raise_limit()
print(descriptors.limit())
"""


def test_a_service_takes_what_the_machine_allows() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    assert int(found.stdout) == (hard if hard != resource.RLIM_INFINITY else 1 << 18)

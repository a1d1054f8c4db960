"""What the front does with Arrow imports no pandas."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from enclave.gateway.without_pandas import do_without_pandas
do_without_pandas()
import pyarrow as pa
import pyarrow.compute as pc
from enclave.gateway.sql_info import sql_info_table
assert sql_info_table(()).num_rows > 0
assert pc.unique(pa.array([1, 1, 2])).to_pylist() == [1, 2]
assert "pandas" not in sys.modules, "expected no pandas, found it imported"
"""


def test_arrow_works_without_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

"""What can be asked for: a name and versions, nothing else."""

from __future__ import annotations

import pytest

from enclave.domain.decisions import RefusedError
from enclave.domain.packages import Requirement, check_requirement

BAD = [
    ("numpy @ https://evil.example/x.whl", "", "a package's name"),
    ("--index-url=https://evil.example", "", "a package's name"),
    ("toy[all]", "", "a package's name"),
    ("../toy", "", "a package's name"),
    ("toy", "; os_name == 'nt'", "Expected versions"),
    ("toy", "===1.0", "Expected versions"),
    ("toy", "==1.0\n-r /etc/passwd", "Expected versions"),
    ("toy", "@ file:///etc", "Expected versions"),
    ("toy", "1.0", "Expected versions"),
]


@pytest.mark.parametrize(("name", "versions", "said"), BAD)
def test_only_a_name_and_versions_can_be_asked_for(name: str, versions: str, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        check_requirement(name, versions)


def test_a_name_is_written_as_everybody_writes_it() -> None:
    assert check_requirement("Toy.Box", ">=1, <2") == Requirement("toy-box", "<2,>=1")

"""The suite every client runs: the statements, what they give, and how a client's program is started and read.

A client's program prints one line of JSON per check: its name, ``yes``, ``no`` or ``not-offered`` (the client has no
such thing), the seconds and the trouble.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[3]
TOOLS = REPOSITORY / ".tools"
RUN_SECONDS = 90

ODD_TEXT = 'it\'s "odd" \\ %_ é 漢 🙂 \t tab'
LARGE_ROWS, LARGE_WIDTH = 9000, 8000
LARGE_CHARACTERS = LARGE_ROWS * LARGE_WIDTH + sum(len(str(i)) for i in range(LARGE_ROWS))

STATEMENTS = {
    "SIMPLE": "SELECT person_id, label FROM person ORDER BY person_id LIMIT 2",
    "AGGREGATE": "SELECT sex, count(*) AS n FROM visit GROUP BY sex ORDER BY sex",
    "LARGE": f"SELECT i, repeat('x', {LARGE_WIDTH}) || i AS wide FROM range({LARGE_ROWS}) r(i)",
    "PARAMETERS": ("SELECT person_id FROM person WHERE person_id = ? AND label = ? AND ?::DOUBLE = 0.5 AND ?::BOOLEAN"),
    "OTHER_PARAMETERS": (
        "SELECT person_id FROM person WHERE seen_on = ? AND year_of_birth < 1960 AND label = 'name-7'"
        " AND ?::DECIMAL(10, 2) = 12.34 AND ?::TIMESTAMP = TIMESTAMP '2024-02-29 23:59:59.123'"
        r" AND ?::BLOB = '\x00\x01'::BLOB AND ?::INTEGER IS NULL AND ?::TIME = TIME '12:34:56'"
    ),
    "TYPES": (
        "SELECT (-128)::TINYINT AS tiny, 9223372036854775807 AS big,"
        " 12345678901234567890123456789.123456789::DECIMAL(38, 9) AS decimal, 1.5::DOUBLE AS double, true AS yes,"
        " DATE '2024-02-29' AS day, TIMESTAMP '2024-02-29 23:59:59.123456' AS moment,"
        " TIMESTAMPTZ '2024-02-29 12:00:00+00' AS instant, TIME '12:34:56.789' AS clock, NULL::INTEGER AS nothing,"
        f" '{ODD_TEXT.replace(chr(39), chr(39) * 2)}' AS odd, '\\x00\\xFF'::BLOB AS bytes, [1, NULL, 3] AS list,"
        " {'a': 1, 'b': 'x'} AS pair"
    ),
    "PIVOT": "PIVOT (SELECT sex FROM visit) ON sex IN ('F', 'M') USING count(*)",
    "UNPIVOT": "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b INTO NAME name VALUE value",
    "OPEN_PIVOT": "PIVOT visit ON sex USING count(*)",
    "LONG": "SELECT sum(sin(a.i * b.i)) AS total FROM range(100000000) a(i), range(100000) b(i)",
    "REFUSED": "SELECT * FROM lung",
    "WRITE": "DELETE FROM person",
}


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of a client: the authority it trusts and, over mutual TLS, what it shows of itself."""

    authority: Path
    certificate: Path | None = None
    key: Path | None = None

    def environment(self) -> dict[str, str]:
        shown = {"ENCLAVE_TLS_CERTIFICATE": str(self.certificate), "ENCLAVE_TLS_KEY": str(self.key)}
        return {"ENCLAVE_TLS_ROOTS": str(self.authority), **(shown if self.certificate is not None else {})}


@dataclass(frozen=True)
class Gateway:
    """Where a client finds the gateway, and the tokens it tries. With ``tls``, all speak it to ``address``."""

    socket: Path
    address: str
    token: str
    wrong_token: str
    expired_token: str
    tls: TlsFiles | None = None
    checks: tuple[str, ...] = ()
    """The checks to make; none: all."""

    def environment(self) -> dict[str, str]:
        own = {
            **({"ENCLAVE_CHECKS": "|".join(self.checks)} if self.checks else {}),
            **(self.tls.environment() if self.tls is not None else {}),
            "ENCLAVE_SOCKET": str(self.socket),
            "ENCLAVE_ADDRESS": self.address,
            "ENCLAVE_TOKEN": self.token,
            "ENCLAVE_WRONG_TOKEN": self.wrong_token,
            "ENCLAVE_EXPIRED_TOKEN": self.expired_token,
            "LARGE_CHARACTERS": str(LARGE_CHARACTERS),
            "ODD_TEXT": ODD_TEXT,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**os.environ, **own, **{f"SQL_{name}": text for name, text in STATEMENTS.items()}}


@dataclass(frozen=True)
class Finding:
    """How one check went with one client."""

    result: str
    trouble: str


def run_client(command: list[str], gateway: Gateway) -> dict[str, Finding]:
    """Every check the program reported; fails when the program did not end well."""
    done = subprocess.run(
        command, env=gateway.environment(), capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stderr[-3000:]}"
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"check"')]
    return {line["check"]: Finding(line["result"], line["trouble"]) for line in lines}

"""A stock ADBC client: python adbc_query.py "SELECT …" (in a workspace, or on the machine with ENCLAVE_GATEWAY set)."""

import os
import sys
from pathlib import Path

from adbc_driver_flightsql import dbapi

gateway = os.environ.get("ENCLAVE_GATEWAY", "grpc+unix:///run/enclave/gateway.sock")
token = Path(os.environ.get("ENCLAVE_TOKEN_FILE", "/run/enclave/token")).read_text().strip()
options = {"adbc.flight.sql.authorization_header": f"Bearer {token}"}
query = sys.argv[1] if len(sys.argv) > 1 else "SHOW TABLES"

with dbapi.connect(gateway, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
    cursor.execute(query)
    print(cursor.fetch_arrow_table())  # noqa: T201

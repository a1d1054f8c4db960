"""What researchers run in their notebooks in the tests of compute nodes. Imported as ``enclave_cluster_cells``."""

ALL = """
import os, socket
from enclave_client import dask as enclave_dask, sql
counted = sql('SELECT ward, count(*) AS n FROM stay GROUP BY ward ORDER BY ward').arrow().to_pylist()
client = enclave_dask.client(3)
client.wait_for_workers(3, timeout=120)
def found():
    return sorted(client.scheduler_info(n_workers=-1)['workers'])
print(found())
here, far, third = everywhere = found()
"""
COMPUTES = """
def make(n):
    import numpy
    return numpy.full(1_000_000, n)
def add(*arrays):
    return int(sum(array.sum() for array in arrays))
made = [client.submit(make, n, workers=[everywhere[n % 3]]) for n in range(6)]
print([client.submit(add, *made, workers=[at]).result() for at in everywhere])
def read():
    from enclave_client import dask as enclave_dask, sql
    frame = enclave_dask.table('stay', parts=2).compute(scheduler='synchronous')
    return sql('SELECT count(*) AS n FROM stay').arrow().to_pylist()[0]['n'], dict(frame.groupby('ward').size())
rows, wards = client.submit(read, workers=[far]).result()
print(rows == sum(row['n'] for row in counted), wards == {row['ward']: row['n'] for row in counted})
"""
EVERYWHERE = [f"tls://127.0.{part}.1:8800" for part in range(3)]
ATTACK = """
def look(targets):
    import os, socket
    reached = []
    for family, address in targets:
        try:
            with socket.socket(family) as probe:
                probe.settimeout(5)
                probe.connect(tuple(address) if isinstance(address, list) else address)
                reached.append(address)
        except (OSError, ValueError):
            pass
    links, seen = [name for _, name in socket.if_nameindex()], sorted(os.listdir('/run/enclave'))
    return links, reached, seen, os.path.exists('/home/researcher')
print(client.submit(look, TARGETS, workers=[far]).result())
"""
BESIDE = """
from enclave_client import dask as enclave_dask
client = enclave_dask.client(2)
client.wait_for_workers(2, timeout=120)
def look():
    import os
    from enclave_client import sql
    return sql('SELECT count(*) AS n FROM stay').arrow().to_pylist()[0]['n'], os.path.exists('/tmp/hers')
*_, there = sorted(client.scheduler_info(n_workers=-1)['workers'])
print(there, *client.submit(look, workers=[there]).result())
"""

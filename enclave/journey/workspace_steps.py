"""Steps inside the workspace. Each can be done again when a process was restarted under it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from enclave.journey.browser import JourneyError
from enclave.journey.context import Context
from enclave.journey.kernel import ChannelLostError, Kernel, Workspace
from enclave.settings import REPOSITORY

STARTER = "start-here.ipynb"
STOCK_CLIENT = REPOSITORY / "docs" / "examples" / "adbc_query.py"
_ATTEMPTS = 3

_AS_PROGRAM = """
import pathlib, subprocess, sys
pathlib.Path("adbc_query.py").write_text({script!r})
done = subprocess.run([sys.executable, "adbc_query.py"], capture_output=True, text=True, timeout=60)
assert done.returncode == 0, done.stderr
print(done.stdout)
"""

_NO_NETWORK = """
import os, socket
def reaches(address):
    try:
        socket.create_connection(address, 2).close()
        return True
    except OSError:
        return False
interfaces = [name for _, name in socket.if_nameindex()]
assert interfaces == ["lo"], interfaces
reached = [a for a in (("127.0.0.1", {port}), ("10.0.0.1", 80), ("169.254.169.254", 80)) if reaches(a)]
assert not reached, reached
print("interfaces:", ", ".join(interfaces))
"""


async def open_workspace(context: Context) -> str:
    """Log in at the hub through the portal, start the workspace, wait for JupyterLab."""
    context.workspace = Workspace(context.researcher, context.permit.project)
    await context.workspace.open()
    return "JupyterLab answers"


async def run_starter(context: Context) -> str:
    """All code cells of the starter notebook, in order; its last cell asks for a release."""

    async def work(kernel: Kernel) -> str:
        notebook = await context.open_workspace().read_notebook(STARTER)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for cell in cells:
            context.notes["last-cell"] = await kernel.run(cell["source"])
        return f"{len(cells)} cells" + (f" (again, after: {why})" if (why := context.notes.get("repeated")) else "")

    return await _in_kernel(context, work)


async def run_stock_client(context: Context) -> str:
    """The script of docs/examples, unmodified, inside the workspace."""

    async def work(kernel: Kernel) -> str:
        output = await kernel.run(_AS_PROGRAM.format(script=STOCK_CLIENT.read_text()))
        if "pyarrow.Table" not in output:
            raise JourneyError("Expected the ADBC client to print an Arrow table, found something else.")
        return "an Arrow table"

    return await _in_kernel(context, work)


async def find_no_network(context: Context) -> str:
    """Only the loopback interface, and nothing answers, not even the enclave's own edge."""

    async def work(kernel: Kernel) -> str:
        return (await kernel.run(_NO_NETWORK.format(port=context.settings.port))).strip()

    return await _in_kernel(context, work)


async def _in_kernel(context: Context, work: Callable[[Kernel], Awaitable[str]]) -> str:
    """Do ``work`` in a fresh kernel; when the way to it breaks off, open the workspace again and repeat."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            kernel = await context.open_workspace().start_kernel()
            try:
                return await work(kernel)
            finally:
                await kernel.close()
        except ChannelLostError as error:
            context.notes["repeated"] = str(error)
            if attempt == _ATTEMPTS:
                raise JourneyError(f"Expected the kernel to stay reachable, found: {error}") from error
            await context.open_workspace().open()
    raise AssertionError("unreachable")

"""IPython's system configuration in a workspace: the ``%%sql`` cell is there without an import."""

from pathlib import Path

c = get_config()  # noqa: F821  (IPython provides it)

c.InteractiveShellApp.extensions = ["enclave_client"]
# A notebook in the shared folder: ``import pandas`` must not run a pandas.py that a colleague left beside it, which
# would act under this person's name. Data are found there as ever; a colleague's module is imported by naming its path.
c.InteractiveShellApp.ignore_cwd = Path.cwd().is_relative_to(Path.home() / "shared")

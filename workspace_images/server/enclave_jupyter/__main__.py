"""``python -m enclave_jupyter``: start JupyterLab in this workspace, in the researcher's home."""

import os
from pathlib import Path

from enclave_jupyter import WorkspaceLab

os.chdir(Path.home())
WorkspaceLab.launch_instance()

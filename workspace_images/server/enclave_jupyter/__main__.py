"""``python -m enclave_jupyter``: start JupyterLab in this workspace."""

from enclave_jupyter import WorkspaceLab

WorkspaceLab.launch_instance()

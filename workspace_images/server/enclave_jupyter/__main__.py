"""``python -m enclave_jupyter``: start JupyterLab in this workspace, in the researcher's home."""

import os
from importlib.metadata import EntryPoint
from pathlib import Path

from jupyter_client.provisioning import KernelProvisionerFactory

from enclave_jupyter import WorkspaceLab

KernelProvisionerFactory.provisioners["enclave-host"] = EntryPoint(
    "enclave-host", "enclave_jupyter.provisioner:HostProvisioner", KernelProvisionerFactory.GROUP_NAME
)
os.chdir(Path.home())
WorkspaceLab.launch_instance()

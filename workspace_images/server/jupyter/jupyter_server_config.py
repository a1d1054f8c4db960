"""Jupyter's configuration in a workspace (read-only mount; the researcher's own configuration files are not read)."""

import os
from pathlib import Path

c = get_config()  # noqa: F821  (Jupyter provides it)

c.ServerApp.identity_provider_class = "enclave_jupyter.ResearcherIdentity"
c.IdentityProvider.token = ""
c.ServerApp.base_url = os.environ["ENCLAVE_BASE_URL"]
c.ServerApp.root_dir = str(Path.home())
c.ServerApp.allow_remote_access = True
c.ServerApp.open_browser = False
c.ServerApp.terminals_enabled = False  # Jupyter's own would run in this sandbox
c.ServerApp.quit_button = False
c.ServerApp.trust_xheaders = True
c.ServerApp.jpserver_extensions = {
    "enclave_jupyter.panel": True,
    "enclave_jupyter.terminals": os.environ.get("ENCLAVE_TERMINALS") == "1",
    "jupyter_lsp": False,
    "jupyter_server_terminals": False,
    "notebook_shim": False,
    "nbconvert": False,
}
c.ServerApp.tornado_settings = {
    "hub_prefix": "/hub/",
    "hub_host": "",
    "user": os.environ["ENCLAVE_USERNAME"],
}
c.ContentsManager.allow_hidden = False
c.ServerApp.contents_manager_class = "enclave_jupyter.contents.HomeContents"
c.FileContentsManager.delete_to_trash = False
c.FileContentsManager.always_delete_dir = True
c.KernelManager.transport = "ipc"
c.KernelProvisionerFactory.default_provisioner_name = "enclave-host"
c.MappingKernelManager.default_kernel_name = "python3"
c.LabApp.extra_labextensions_path = ["/opt/enclave_lab"]
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"

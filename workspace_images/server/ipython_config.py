"""IPython's system configuration in a workspace: the ``%%sql`` cell is there without an import."""

c = get_config()  # noqa: F821  (IPython provides it)

c.InteractiveShellApp.extensions = ["enclave_client"]

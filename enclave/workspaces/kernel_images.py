"""Which file system a kernel runs in: the machine's own, or an image's. The host's choice among what is here.

The Jupyter server names an image (``enclave_image`` in a kernelspec's metadata); it gets that image's sandbox or a
sentence. R's image is optional: without it there is no kernelspec, so nobody is offered what would not start.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from enclave.sandbox import Bind, SandboxProfile
from enclave.settings import REPOSITORY, Settings

PYTHON, R = "python", "r"
_FROM_ETC = ("ld.so.cache", "alternatives", "fonts", "R")
_CLIENT = Path("/opt/enclave_r")
_KERNELSPECS = Path("/opt/enclave_kernelspecs")


def root_binds(root: Path) -> tuple[Bind, ...]:
    """Mounts that put ``root``'s programs and libraries in the place of the machine's. Its other files stay outside."""
    etc = [root / "etc" / name for name in _FROM_ETC if (root / "etc" / name).exists()]
    return (Bind(root / "usr", Path("/usr")), *(Bind(path, Path("/etc") / path.name) for path in etc))


def has_r(settings: Settings) -> bool:
    """Is R's image built?"""
    return (settings.r_image / "usr/lib/R").is_dir()


def other_kernels(settings: Settings, kernel: SandboxProfile) -> dict[str, SandboxProfile]:
    """Sandboxes beside the Python kernel's, by the name of their image: the same walls, other programs."""
    if not has_r(settings):
        return {}
    client = Bind(REPOSITORY / "workspace_images/r/client", _CLIENT)
    env = {**kernel.env, "R_PROFILE": str(_CLIENT / "Rprofile"), "PATH": "/usr/bin:/bin"}
    kept = tuple(bind for bind in kernel.binds if bind.target != Path("/usr"))
    return {R: replace(kernel, binds=(*kept, *root_binds(settings.r_image), client), env=env)}


def kernelspecs(settings: Settings) -> tuple[tuple[Bind, ...], dict[str, str]]:
    """What the Jupyter server needs to offer those kernels: mounts and environment."""
    if not has_r(settings):
        return (), {}
    return (Bind(settings.r_image / "usr/share/jupyter", _KERNELSPECS),), {"JUPYTER_PATH": str(_KERNELSPECS)}

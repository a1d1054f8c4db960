"""The mirror of these tests, and the portal's house."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
django.setup()

# pytest's importlib mode puts no test folder on sys.path.
for name, file in (("package_mirror", "mirror.py"), ("portal_house", "../portal/house.py")):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, (Path(__file__).parent / file).resolve())
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])

"""Django is set up once, before the test files import its models."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "enclave.portal.django_settings")
django.setup()

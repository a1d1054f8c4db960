"""The demo: a whole enclave on loopback with embedded defaults and a sample hospital (DESIGN.md, fixed interfaces).

A demo home carries the marker ``demo.json``; only such a home is ever emptied. Non-goal: anything a production
installation needs.
"""

from __future__ import annotations

from enclave.demo.run import DemoError, run_demo, stop_demo

__all__ = ["DemoError", "run_demo", "stop_demo"]

"""Attacks on the enclave's own isolation, from inside its sandboxes, on the live installation: ``enclave selftest``.

``probes`` is the catalogue and runs inside; everything else runs outside and believes nothing that a sandbox could have
changed. Non-goals: load tests, and judging a kernel's or a processor's own faults.
"""

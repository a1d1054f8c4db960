"""The archive of displayed output, where a permit orders one: what was shown, readable by the holder of a key we lack.

One file per project, person and day: ``shown/<project>/<username>/<day>.jsonl``. ADR 0024.
"""

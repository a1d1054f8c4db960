"""The audit daemon: the only writer of the log. Start it with ``python -m audit.daemon``."""

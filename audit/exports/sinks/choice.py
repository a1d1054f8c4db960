"""Which sink an address means."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from audit.exports.config import Target, syslog_address
from audit.exports.dialects import dialect_of
from audit.exports.lines import LineFile
from audit.exports.message import Format
from audit.exports.sinks import Sink
from audit.exports.sinks.file import FileSink
from audit.exports.sinks.http import HttpSink
from audit.exports.sinks.syslog import SyslogSink


def make_sink(target: Target, form: Format) -> Sink:
    """The sink of a target's address."""
    if target.scheme == "file":
        path = Path(urlsplit(target.to).path)
        return FileSink(LineFile(path, rotate_bytes=target.rotate_bytes, keep=target.keep_files))
    if target.scheme == "syslog+tls":
        host, port = syslog_address(target.to)
        return SyslogSink(host, port, target.tls, timeout=target.timeout_seconds, rewind=target.resend)
    dialect = dialect_of(target.format, form, idempotent=target.idempotent, ndjson=target.ndjson)
    return HttpSink(target.to, dialect, target.tls, timeout=target.timeout_seconds, token_file=target.token_file)

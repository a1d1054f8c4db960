"""Where the log lives, and what its daemon is told about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audit.daemon.hardware_key import HardwareKeySettings
from audit.daemon.keys import StartRefused
from audit.daemon.reserve import DEFAULT_RESERVE_BYTES
from audit.durable import make_directories
from audit.wal import DEFAULT_SEGMENT_BYTES


@dataclass(frozen=True)
class LogSettings:
    """Where the log lives and under which name it signs."""

    log_dir: Path
    state_dir: Path
    origin: str
    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    reserve_bytes: int = DEFAULT_RESERVE_BYTES
    witness_urls: tuple[str, ...] = ()
    hardware_key: HardwareKeySettings | None = None


def staging_directory(settings: LogSettings) -> Path:
    """A folder for temporary files on the log's file system, outside the log directory whenever that is possible."""
    staging = settings.state_dir / "staging"
    make_directories(staging, 0o700)
    if staging.stat().st_dev == settings.log_dir.stat().st_dev:
        return staging
    beside = settings.log_dir.parent / f".{settings.log_dir.name}.staging"
    make_directories(beside, 0o700)
    if beside.stat().st_dev != settings.log_dir.stat().st_dev:
        raise StartRefused(
            "The log directory is a mount of its own: neither the state directory nor its parent is on its file system."
            " Use a folder inside the mount as the log directory."
        )
    return beside

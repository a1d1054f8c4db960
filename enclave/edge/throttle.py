"""A token bucket: how long to wait before so many bytes may go on. Pure; time comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Throttle:
    """``rate`` bytes a second on average, ``burst`` at once; a larger piece is paid for by waiting first."""

    rate: float
    burst: float
    _debt: float = 0.0
    _at: float = 0.0

    def delay(self, size: int, now: float) -> float:
        """Seconds to wait before ``size`` bytes go on; ``now`` is a monotonic clock."""
        self._debt = max(0.0, self._debt - (now - self._at) * self.rate) + size
        self._at = now
        return max(0.0, self._debt - self.burst) / self.rate

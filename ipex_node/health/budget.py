"""How often the health monitor may restart a service. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Moment:
    """A moment that a clock set anew does not move.

    Attributes:
        boot: The kernel's name of the boot it is in.
        up: Seconds since that boot began, with sleep (CLOCK_BOOTTIME).
        at: Seconds of the wall clock, which alone spans boots.
    """

    boot: str
    up: float
    at: float

    def seconds_since(self, earlier: Moment) -> float:
        """Return how long ago another moment was; where the clock has gone back between two boots, for ever.

        Nobody knows how long it was then, and a clock that was ahead once must not hold a moment for years.
        """
        if self.boot == earlier.boot:
            return max(0.0, self.up - earlier.up)
        passed = self.at - earlier.at
        return passed if passed >= 0 else math.inf


@dataclass(frozen=True)
class Budget:
    """So many restarts in a window, each waiting twice as long as the one before.

    Attributes:
        restarts: In one window at most.
        window_seconds: How long a restart counts.
        backoff_seconds: Between the first and the second.
    """

    restarts: int
    window_seconds: float
    backoff_seconds: float

    def recent(self, spent: Sequence[Moment], now: Moment) -> list[Moment]:
        """Return the restarts that count."""
        return [moment for moment in spent if now.seconds_since(moment) < self.window_seconds]

    def left(self, spent: Sequence[Moment], now: Moment) -> int:
        """Return how many restarts are left."""
        return max(0, self.restarts - len(self.recent(spent, now)))

    def wait(self, spent: Sequence[Moment], now: Moment) -> float:
        """Return the seconds until the next restart may be, if any is left."""
        recent = self.recent(spent, now)
        if not recent:
            return 0.0
        pause: float = self.backoff_seconds * 2 ** (len(recent) - 1)
        return max(0.0, pause - now.seconds_since(recent[-1]))

"""Growth: a straight line through a value a day, and how sure it is. Pure mathematics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""How sure an interval is."""
DAY_SECONDS = 86400

# The quantile of the normal distribution that leaves 2.5 % above it.
_Z = 1.959963985
# What rounding alone could make of a slope, against the largest value.
_NOTHING = 1e-12

Point = tuple[float, float]
"""A time in seconds, and a value."""


@dataclass(frozen=True)
class Trend:
    """A least-squares line.

    Attributes:
        level: its value at the last point.
        per_day: its slope.
        margin: half the interval that holds the true slope with CONFIDENCE.
        ends: the time of the last point in seconds.
        points: through how many it goes.
    """

    level: float
    per_day: float
    margin: float
    ends: float
    points: int

    @property
    def slowest(self) -> float:
        """The lowest slope that is to be believed."""
        return self.per_day - self.margin

    @property
    def fastest(self) -> float:
        """The highest slope that is to be believed."""
        return self.per_day + self.margin

    @property
    def grows(self) -> bool:
        """Whether growth can be told from noise."""
        return self.slowest > 0

    def at(self, time: float) -> float:
        """The line's value at a time."""
        return self.level + self.per_day * (time - self.ends) / DAY_SECONDS


@dataclass(frozen=True)
class Forecast:
    """When a line reaches a limit, as times in seconds.

    Attributes:
        earliest: at the highest slope that is to be believed.
        expected: at the line's own; None where no growth can be told from noise.
        latest: at the lowest; None as expected.
    """

    earliest: float
    expected: float | None
    latest: float | None


def trend(points: Sequence[Point]) -> Trend | None:
    """The line through the points; None for fewer than three, or where all are of one time.

    The margin takes the points' distances from the line as independent of each other. Days are: hours are not.
    """
    times, values = [time / DAY_SECONDS for time, _ in points], [value for _, value in points]
    if len(points) < 3:
        return None
    middle, mean = math.fsum(times) / len(times), math.fsum(values) / len(values)
    spread = math.fsum((time - middle) ** 2 for time in times)
    if spread == 0:
        return None
    together = math.fsum((time - middle) * (value - mean) for time, value in zip(times, values, strict=True))
    slope = together / spread
    left = math.fsum((value - mean - slope * (time - middle)) ** 2 for time, value in zip(times, values, strict=True))
    freedom = len(points) - 2
    margin = _student(freedom) * math.sqrt(left / freedom / spread)
    ends = max(time for time, _ in points)
    noise = _NOTHING * max(map(abs, values))
    return Trend(
        level=mean + slope * (ends / DAY_SECONDS - middle),
        per_day=slope if abs(slope) > noise else 0.0,
        margin=margin if margin > noise else 0.0,
        ends=ends,
        points=len(points),
    )


def forecast(line: Trend, limit: float) -> Forecast | None:
    """When the line reaches the limit; None where it does not grow. What is full is full now."""
    if line.level >= limit:
        return Forecast(line.ends, line.ends, line.ends)
    if line.fastest <= 0:
        return None
    missing = (limit - line.level) * DAY_SECONDS
    earliest = line.ends + missing / line.fastest
    if not line.grows:
        return Forecast(earliest, None, None)
    return Forecast(earliest, line.ends + missing / line.per_day, line.ends + missing / line.slowest)


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t distribution.

    By the expansion of Cornish and Fisher (Abramowitz and Stegun, 26.7.5): within 0.2 % from 3 degrees of freedom on,
    and 11 % too small for 1.
    """
    z = _Z
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))

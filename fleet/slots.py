"""Times of day for work that must never be done on two nodes at once: one slot for each, one behind the other."""

from datetime import datetime, timedelta

from fleet.optimizer import PERIOD_SECONDS, Period

_FIRST = datetime(2024, 1, 1)  # noqa: DTZ001 - a wall's clock; a Monday, and the first of a month
_STEP = 300
"""Slots begin at full five minutes; as much lies between two."""


def length(seconds: int) -> int:
    """A slot for work that takes so long at most, in seconds: longer by what clocks and starts may differ."""
    return (seconds // _STEP + 2) * _STEP


def fit(number: int, seconds: int, period: Period) -> bool:
    """Whether so many slots fit into a period."""
    return number * length(seconds) <= PERIOD_SECONDS[period]


def calendar(place: int, seconds: int, period: Period) -> str:
    """When a node's slot begins, in systemd's words (systemd.time(7), in UTC: a clock that is set makes no two meet).

    Args:
        place: the node's place in the order of the inventory, from 0.
        seconds: how long the work takes at most.
        period: how often it is done.
    """
    start = _FIRST + timedelta(seconds=place * length(seconds))
    day = {"daily": "*-*-*", "weekly": f"{start:%a} *-*-*", "monthly": f"*-*-{start:%d}"}[period]
    return f"{day} {start:%H:%M}:00 UTC"

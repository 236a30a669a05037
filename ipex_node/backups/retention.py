"""Which snapshots stay and which bytes are looked at again: pure functions of names, times and days."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

STAMP = "%Y-%m-%dT%H-%M-%SZ"
"""How a snapshot is named: when it was taken, in UTC; names sort by time."""


def stamp(seconds: float) -> str:
    """Return the name of a snapshot taken at a moment, seconds since 1970."""
    return time.strftime(STAMP, time.gmtime(seconds))


def kept(names: Iterable[str], keep: Mapping[str, int], verified: Collection[str] = ()) -> set[str]:
    """Return the snapshots that stay: the newest of each of the last days, weeks and months that have any.

    Args:
        names: All there are.
        keep: `daily`, `weekly`, `monthly`: of how many of each one stays.
        verified: Those whose every byte was seen to be right; the last of them always stays, and so does the newest.
    """
    newest_first = sorted(names, reverse=True)
    stay = set(newest_first[:1])
    stay |= set(sorted(set(verified) & set(newest_first))[-1:])
    for period, key in _PERIODS.items():
        seen: dict[object, str] = {}
        for name in newest_first:
            seen.setdefault(key(time.strptime(name, STAMP)), name)
        stay |= set(list(seen.values())[: keep.get(period, 0)])
    return stay


def due(sizes: Mapping[str, int], seen: Mapping[str, int], today: int, days: int) -> list[str]:
    """Return what is read again tonight, so that all is within so many nights.

    What was longest not looked at comes first, until a share of all bytes is reached; what would become too old by
    tomorrow comes in any case.

    Args:
        sizes: Digest to bytes of all there is.
        seen: Digest to the day on which it was last seen to be right, or was first met.
        today: Number of this day.
        days: Within so many.
    """
    quota = -(-sum(sizes.values()) // days)
    chosen: list[str] = []
    for digest in sorted(sizes, key=lambda one: (seen.get(one, 0), one)):
        age = today - seen.get(digest, 0)
        if quota <= 0 and age < days:
            break
        if age > 0:
            chosen.append(digest)
            quota -= sizes[digest]
    return chosen


_PERIODS: dict[str, Callable[[time.struct_time], object]] = {
    "daily": lambda moment: (moment.tm_year, moment.tm_yday),
    "weekly": lambda moment: time.strftime("%G-%V", moment),
    "monthly": lambda moment: (moment.tm_year, moment.tm_mon),
}

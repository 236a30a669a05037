"""Times at which nobody is told of alerts: as data have them, and day by day as Alertmanager does."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ipex_node.update.wall_clock import DAY, DAYS, ZONE, Span, span

LONGEST_DAYS = 31
"""A dated window becomes one interval a day; a node that rests for longer is better left out of the inventory."""


@dataclass(frozen=True)
class Window:
    """A time at which nobody is told of alerts.

    Attributes:
        name: one word.
        start, end: `DAY HH:MM` for every week, `YYYY-MM-DD HH:MM` for once.
        time_zone: whose clock, a name of the tz database.
        nodes: the nodes whose alerts are meant; None means all alerts, also those of no node.
    """

    name: str
    start: str
    end: str
    time_zone: str
    nodes: tuple[str, ...] | None = None

    @property
    def interval(self) -> str:
        """What Alertmanager calls it."""
        return f"maintenance-{self.name}"


@dataclass(frozen=True)
class Interval:
    """A part of one day: Alertmanager's time_intervals know no time that runs past midnight.

    Attributes:
        start, end: `HH:MM`, the end not included; the midnight that ends the day is `24:00`.
        weekday: the day of every week; None for a dated one.
        date: the one day, at its beginning; None for a weekly one.
    """

    start: str
    end: str
    weekday: str | None = None
    date: datetime | None = None


def intervals(window: Window) -> tuple[Interval, ...]:
    """A window day by day. It must be one that `nonsense` has nothing against."""
    lasts = _span(window)
    start, end = lasts.start, lasts.end
    first = start.replace(hour=0, minute=0)
    days = [first + number * DAY for number in range((end - first) // DAY + 1)]
    parts = [(day, max(start, day), min(end, day + DAY)) for day in days]
    return tuple(
        Interval(
            start=f"{begin:%H:%M}",
            end=f"{until:%H:%M}" if until < day + DAY else "24:00",
            weekday=DAYS[day.weekday()] if lasts.form == "weekly" else None,
            date=None if lasts.form == "weekly" else day,
        )
        for day, begin, until in parts
        if begin < until
    )


def shared(windows: tuple[Window, ...]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The windows that apply to nodes with some of their own: windows' names to the nodes they all apply to.

    An alert takes the first route that fits, so that each node must be in one of them, with all that applies to it.
    """
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for node in sorted({node for window in windows for node in window.nodes or ()}):
        names = tuple(window.interval for window in windows if window.nodes is None or node in window.nodes)
        found[names] = (*found.get(names, ()), node)
    return found


def nonsense(windows: Iterable[Window], nodes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What of them cannot be meant, each with its cure.

    Args:
        windows: all of the fleet.
        nodes: names of the fleet's nodes.
    """
    windows, known = tuple(windows), set(nodes)
    for name, count in Counter(window.name for window in windows).items():
        if count > 1:
            yield f"maintenance has two windows {name}", "Give each window a name of its own."
    for window in windows:
        where = f"maintenance {window.name!r}"
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", window.name):
            yield f"{where} is no name", "Write it like disks."
        if not re.fullmatch(ZONE, window.time_zone):
            yield f"{where}: time_zone is {window.time_zone!r}", "Write it like Europe/Berlin."
        if unknown := sorted(set(window.nodes or ()) - known):
            yield f"{where}: no node is called {', '.join(unknown)}", f"Known nodes: {', '.join(sorted(known))}."
        if window.nodes == ():
            yield f"{where}: nodes is empty", "Name some, or leave nodes out for all."
        yield from _no_time(window, where)


def _no_time(window: Window, where: str) -> Iterator[tuple[str, str]]:
    try:
        lasts = _span(window)
    except ValueError:
        what = f"{where} lasts from {window.start!r} to {window.end!r}"
        yield what, "Write both like sunday 22:00, or both like 2026-03-01 20:00."
        return
    if lasts.end <= lasts.start:
        yield f"{where} ends at {window.end}", f"Let it end after it starts, {window.start}."
    if lasts.end - lasts.start > LONGEST_DAYS * DAY:
        yield f"{where} lasts more than {LONGEST_DAYS} days", "Take the nodes out of the inventory instead."


def _span(window: Window) -> Span:
    """Read the two ends.

    Raises:
        ValueError: one of them is neither weekly nor dated, or they are not of the same form.
    """
    lasts = span(window.start, window.end)
    if lasts.form == "daily":
        raise ValueError(window.name)
    return lasts

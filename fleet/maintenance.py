"""Times at which nobody is told of alerts: as data have them, and day by day as Alertmanager does."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

LONGEST_DAYS = 31
"""A dated window becomes one interval a day; a node that rests for longer is better left out of the inventory."""

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
_FORMS = {
    "weekly": rf"({'|'.join(_DAYS)}) {_CLOCK}",
    "dated": rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} {_CLOCK}",
}
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
# A Monday: weekly windows are reckoned in its week.
_MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001 - what a wall's clock shows; which wall is said by the window


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
    start, end = _span(window)
    first = start.replace(hour=0, minute=0)
    days = [first + number * _DAY for number in range((end - first) // _DAY + 1)]
    parts = [(day, max(start, day), min(end, day + _DAY)) for day in days]
    weekly = _form(window.start) == "weekly"
    return tuple(
        Interval(
            start=f"{begin:%H:%M}",
            end=f"{until:%H:%M}" if until < day + _DAY else "24:00",
            weekday=_DAYS[day.weekday()] if weekly else None,
            date=None if weekly else day,
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
        if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", window.time_zone):
            yield f"{where}: time_zone is {window.time_zone!r}", "Write it like Europe/Berlin."
        if unknown := sorted(set(window.nodes or ()) - known):
            yield f"{where}: no node is called {', '.join(unknown)}", f"Known nodes: {', '.join(sorted(known))}."
        if window.nodes == ():
            yield f"{where}: nodes is empty", "Name some, or leave nodes out for all."
        yield from _no_time(window, where)


def _no_time(window: Window, where: str) -> Iterator[tuple[str, str]]:
    try:
        start, end = _span(window)
    except ValueError:
        what = f"{where} lasts from {window.start!r} to {window.end!r}"
        yield what, "Write both like sunday 22:00, or both like 2026-03-01 20:00."
        return
    if end <= start:
        yield f"{where} ends at {window.end}", f"Let it end after it starts, {window.start}."
    if end - start > LONGEST_DAYS * _DAY:
        yield f"{where} lasts more than {LONGEST_DAYS} days", "Take the nodes out of the inventory instead."


def _span(window: Window) -> tuple[datetime, datetime]:
    """Read the two ends; the end of a weekly window is the first behind its start.

    Raises:
        ValueError: one of them is neither form, or they are not of the same.
    """
    forms = {_form(window.start), _form(window.end)}
    if forms == {"dated"}:
        return _dated(window.start), _dated(window.end)
    if forms != {"weekly"}:
        raise ValueError(window.name)
    start, end = _weekly(window.start), _weekly(window.end)
    return start, end + _WEEK if end < start else end


def _form(text: str) -> str:
    return next((name for name, pattern in _FORMS.items() if re.fullmatch(pattern, text)), "")


def _dated(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M")  # noqa: DTZ007 - as _MONDAY


def _weekly(text: str) -> datetime:
    day, clock = text.split()
    hours, minutes = clock.split(":")
    return _MONDAY + timedelta(days=_DAYS.index(day), hours=int(hours), minutes=int(minutes))

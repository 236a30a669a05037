"""When a node may change by itself: windows, dates on which it must not, and its own slot. Pure.

A window is open while the clock on its time zone's wall shows a time from its start up to its end. So a window inside
the hour that daylight saving leaves out does not open that night, one that begins in it opens when the clock leaps
over its start, and one inside the hour that comes twice opens twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ipex_node.update.wall_clock import DAY, Span, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

LONGEST_DAYS = 31
"""No window is longer."""

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Window:
    """A time at which a node may change.

    Attributes:
        name: one word.
        start, end: `DAY HH:MM` for every week, `daily HH:MM` for every day, `YYYY-MM-DD HH:MM` for once.
        time_zone: whose clock, a name of the tz database.
    """

    name: str
    start: str
    end: str
    time_zone: str

    @property
    def span(self) -> Span:
        """Its two times.

        Raises:
            ValueError: They are none.
        """
        return span(self.start, self.end)


@dataclass(frozen=True)
class Blackout:
    """Days on which no window opens, each from midnight to midnight by that window's clock.

    Attributes:
        name: one word.
        first, last: `YYYY-MM-DD`, both included.
    """

    name: str
    first: str
    last: str

    def holds(self, day: date) -> bool:
        """Whether a day is one of them."""
        return date.fromisoformat(self.first) <= day <= date.fromisoformat(self.last)


@dataclass(frozen=True)
class Opening:
    """A stretch of time in which some window is open all the while.

    Attributes:
        begin, end: in UTC; the end is not included.
    """

    begin: datetime
    end: datetime

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.begin <= moment < self.end


@dataclass(frozen=True)
class Calendar:
    """When a node may change.

    Attributes:
        windows: any of them does.
        blackouts: none of them may hold the day.
    """

    windows: tuple[Window, ...]
    blackouts: tuple[Blackout, ...] = ()

    def is_open(self, moment: datetime) -> bool:
        """Whether a node may change at this moment (with a time zone, any)."""
        return any(self._shows(window, moment) for window in self.windows)

    def opening(self, moment: datetime) -> Opening | None:
        """The opening that a moment lies in; where windows touch, cut a day beyond the longest of them."""
        reach = max((window.span.end - window.span.start for window in self.windows), default=DAY) + DAY
        near = self.openings(moment - reach, moment + reach)
        return next((opening for opening in near if opening.holds(moment)), None)

    def until(self, moment: datetime, reserve: timedelta) -> datetime | None:
        """Until when something may begin, that needs so much of a window; nothing where it may not at this moment."""
        opening = self.opening(moment)
        last = opening.end - reserve if opening else moment
        return last if last > moment else None

    def following(self, moment: datetime) -> Opening | None:
        """The next opening that begins after a moment; None if there is none within two months."""
        near = self.openings(moment, moment + 2 * LONGEST_DAYS * DAY)
        return next((opening for opening in near if opening.begin > moment), None)

    def openings(self, since: datetime, until: datetime) -> tuple[Opening, ...]:
        """All openings between two moments, in order, cut at both; what touches is one."""
        since, until = since.astimezone(UTC), until.astimezone(UTC)
        edges = {since, until}
        for window in self.windows:
            edges |= {edge for edge in self._edges(window, since, until) if since < edge < until}
        found: list[Opening] = []
        for begin, end in pairwise(sorted(edges)):
            # Between two edges nothing changes.
            if not self.is_open(begin):
                continue
            touches = bool(found) and found[-1].end == begin
            found.append(Opening(found.pop().begin if touches else begin, end))
        return tuple(found)

    def _shows(self, window: Window, moment: datetime) -> bool:
        wall = moment.astimezone(ZoneInfo(window.time_zone)).replace(tzinfo=None)
        if any(blackout.holds(wall.date()) for blackout in self.blackouts):
            return False
        span = window.span
        every = span.every
        if every is None:
            return span.start <= wall < span.end
        return (wall - span.start) % every < span.end - span.start

    def _edges(self, window: Window, since: datetime, until: datetime) -> Iterator[datetime]:
        """Every moment at which a window might open or close; moments at which it does not do no harm."""
        zone = ZoneInfo(window.time_zone)
        first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (since - DAY, until + DAY))
        for wall in (*_ends(window.span, first, last), *self._midnights()):
            # A time that comes twice is two moments; of one that does not come at all, neither is an edge.
            yield from (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        yield from _leaps(zone, since, until)

    def _midnights(self) -> Iterator[datetime]:
        for blackout in self.blackouts:
            yield datetime.fromisoformat(blackout.first)
            yield datetime.fromisoformat(blackout.last) + DAY


def calendar(raw: Mapping[str, Any]) -> Calendar:
    """Read what settings say.

    Raises:
        KeyError, TypeError: They say something else.
    """
    windows = tuple(Window(**window) for window in raw["windows"])
    return Calendar(windows, tuple(Blackout(**blackout) for blackout in raw["blackouts"]))


def slot(node: str, spread: timedelta) -> timedelta:
    """Return how long after an opening a node's turn comes: always the same, below `spread`, even over all nodes.

    As systemd's FixedRandomDelay= does it for timers (systemd.timer(5)), for what no timer starts.
    """
    number = int.from_bytes(hashlib.sha256(node.encode()).digest()[:8], "big")
    return timedelta(seconds=number % max(1, int(spread.total_seconds())))


def on_calendar(window: Window) -> str:
    """Return when a window opens, as OnCalendar= says it (systemd.time(7))."""
    start = window.span.start
    day = {"weekly": f"{start:%a} *-*-*", "daily": "*-*-*", "dated": f"{start:%Y-%m-%d}"}[window.span.form]
    return f"{day} {start:%H:%M}:00 {window.time_zone}"


def _ends(span: Span, first: datetime, last: datetime) -> Iterator[datetime]:
    """Start and end of every occurrence that reaches into a stretch of the wall's time."""
    if span.every is None:
        yield from (span.start, span.end)
        return
    lasts = span.end - span.start
    start = first - (first - span.start) % span.every - span.every
    while start <= last:
        yield from (start, start + lasts)
        start += span.every


def _leaps(zone: ZoneInfo, since: datetime, until: datetime) -> Iterable[datetime]:
    """Every moment at which the wall's clock leaps, to the second."""
    for number in range(int((until - since) / DAY) + 1):
        begin = since + number * DAY
        end = begin + DAY
        if _offset(begin, zone) == _offset(end, zone):
            continue
        while end - begin > _SECOND:
            middle = begin + (end - begin) // 2
            begin, end = (begin, middle) if _offset(middle, zone) != _offset(begin, zone) else (middle, end)
        yield end.replace(microsecond=0)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()

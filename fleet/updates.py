"""How nodes bring themselves up to date: when they may, how many at once, who first."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from zoneinfo import available_timezones

from ipex_node.update.memory import GOOD
from ipex_node.update.windows import LONGEST_DAYS, Blackout, Window

UNIT = "ipex-update"
"""The service and the timer."""
TURNS = "ipex-turns.service"
QUIET = GOOD
"""Outcomes of an update about which nobody has to do anything."""
_NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_SPAN = r"([1-9][0-9]*)(s|min|h)"
_SECONDS = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Updates:
    """Updates that a node makes by itself, of its generation and of Debian's packages.

    Attributes:
        enable: whether it does; publications and windows stand there all the same.
        windows: when something may begin; any of them does.
        blackouts: days on which nothing does.
        random_delay: how far the nodes are spread behind a window's start, each at its own fixed moment
            (RandomizedDelaySec=, FixedRandomDelay=).
        concurrent: so many nodes change at once at most; canaries are rollout.canaries.
        soak_seconds: so long after the last canary the others wait.
        reserve_seconds: nothing begins where less of a window is left.
        ask_seconds: between two questions for a turn.
        lease_seconds: a node that has not spoken so long after it was given its turn counts as lost.
        valid_days: what was published so long ago is taken no more.
        port: where the first monitor gives turns.
    """

    enable: bool
    windows: tuple[Window, ...]
    blackouts: tuple[Blackout, ...]
    random_delay: str
    concurrent: int
    soak_seconds: int
    reserve_seconds: int
    ask_seconds: int
    lease_seconds: int
    valid_days: int
    port: int

    @property
    def delay(self) -> timedelta:
        """How far the nodes are spread.

        Raises:
            ValueError: random_delay is no such time.
        """
        match = re.fullmatch(_SPAN, self.random_delay)
        if not match:
            raise ValueError(self.random_delay)
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def nonsense(updates: Updates) -> Iterator[tuple[str, str]]:
    """What of them cannot be meant, each with its cure."""
    if updates.enable and not updates.windows:
        yield "updates.windows is empty", "Name a window, or set updates.enable to False."
    for name, least in (
        ("concurrent", 1),
        ("soak_seconds", 0),
        ("reserve_seconds", 0),
        ("ask_seconds", 1),
        ("lease_seconds", 60),
        ("valid_days", 1),
    ):
        if getattr(updates, name) < least:
            yield f"updates.{name} is {getattr(updates, name)}", f"Write {least} or more."
    if not re.fullmatch(_SPAN, updates.random_delay):
        yield f"updates.random_delay is {updates.random_delay!r}", "Write it like 45min."
        return
    names = [one.name for one in chain[Window | Blackout](updates.windows, updates.blackouts)]
    for name in sorted({name for name in names if names.count(name) > 1 or not re.fullmatch(_NAME, name)}):
        yield f"updates: {name!r} is no name, or there twice", "Give each window and blackout one like night."
    yield from chain.from_iterable(_no_window(window, updates) for window in updates.windows)
    yield from chain.from_iterable(map(_no_blackout, updates.blackouts))


def _no_window(window: Window, updates: Updates) -> Iterator[tuple[str, str]]:
    where = f"updates.windows {window.name!r}"
    if window.time_zone not in available_timezones():
        yield f"{where}: time_zone is {window.time_zone!r}", "Write it like Europe/Berlin."
    try:
        span = window.span
    except ValueError:
        what = f"{where} lasts from {window.start!r} to {window.end!r}"
        yield what, "Write both like sunday 02:00, daily 02:00, or 2026-03-01 20:00."
        return
    lasts = span.end - span.start
    if lasts <= timedelta(0) or lasts > timedelta(days=LONGEST_DAYS):
        yield f"{where} ends at {window.end}", f"Let it end after it starts, within {LONGEST_DAYS} days."
    elif lasts <= updates.delay + timedelta(seconds=updates.reserve_seconds):
        what = f"{where} is no longer than updates.random_delay and reserve_seconds together: some nodes come too late"
        yield what, "Lengthen it, or shorten those."


def _no_blackout(blackout: Blackout) -> Iterator[tuple[str, str]]:
    try:
        fits = date.fromisoformat(blackout.first) <= date.fromisoformat(blackout.last)
    except ValueError:
        fits = False
    if not fits:
        what = f"updates.blackouts {blackout.name!r} lasts from {blackout.first!r} to {blackout.last!r}"
        yield what, "Write both like 2026-12-24, the later one last."

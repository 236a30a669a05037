"""Times as data write them: `sunday 22:00` for every week, `daily 22:00` for every day, `2026-03-01 22:00` for once.

What a clock on a wall shows; which wall is said by whoever writes them, as a name of the tz database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
ZONE = r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*"
"""How a time zone is spelt."""

Form = Literal["weekly", "daily", "dated"]
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
_FORMS: dict[Form, str] = {
    "weekly": rf"({'|'.join(DAYS)}) {_CLOCK}",
    "daily": rf"daily {_CLOCK}",
    "dated": rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} {_CLOCK}",
}
# A Monday: what comes again is reckoned in its week.
_MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001 - what a wall's clock shows


@dataclass(frozen=True)
class Span:
    """From one time to a later one, by a clock on a wall.

    Attributes:
        form: how often it comes again.
        start, end: one of its occurrences; of those that come again, the one that begins in the week of 2024-01-01.
    """

    form: Form
    start: datetime
    end: datetime

    @property
    def every(self) -> timedelta | None:
        """After how long it comes again; None where it does not."""
        return {"weekly": WEEK, "daily": DAY, "dated": None}[self.form]


def span(start: str, end: str) -> Span:
    """Read two times; the end of what comes again is the first behind its start.

    Daily ones that begin and end at the same time last the whole day; of the others the end may lie at or before the
    start, which is for the caller to refuse.

    Raises:
        ValueError: One of them is of no form, both are not of the same, or there is no such day.
    """
    forms = {_form(start), _form(end)}
    if forms == {"dated"}:
        return Span("dated", _dated(start), _dated(end))
    if forms == {"daily"}:
        begin, until = _clock(start), _clock(end)
        return Span("daily", begin, until + DAY if until <= begin else until)
    if forms != {"weekly"}:
        raise ValueError(f"{start!r} to {end!r}")
    begin, until = _weekly(start), _weekly(end)
    return Span("weekly", begin, until + WEEK if until < begin else until)


def _form(text: str) -> Form | None:
    return next((name for name, pattern in _FORMS.items() if re.fullmatch(pattern, text)), None)


def _dated(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M")  # noqa: DTZ007 - as _MONDAY


def _weekly(text: str) -> datetime:
    return _clock(text) + timedelta(days=DAYS.index(text.split(maxsplit=1)[0]))


def _clock(text: str) -> datetime:
    hours, minutes = text.split()[1].split(":")
    return _MONDAY + timedelta(hours=int(hours), minutes=int(minutes))

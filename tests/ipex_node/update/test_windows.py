"""When a node may change by itself: at the edges of days, of years, and of daylight saving."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example as given_example
from hypothesis import given
from hypothesis import strategies as st

from ipex_node.update.wall_clock import DAYS
from ipex_node.update.windows import Blackout, Calendar, Opening, Window, on_calendar, slot

BERLIN = "Europe/Berlin"
ZONES = (BERLIN, "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "UTC")
"""With leaps at two, at midnight (Santiago, Cairo), of half an hour (Lord Howe), with odd minutes, and with none."""
MINUTE = timedelta(minutes=1)


def _calendar(start: str, end: str, zone: str = BERLIN, *blackouts: Blackout) -> Calendar:
    return Calendar((Window("w", start, end, zone),), blackouts)


def _utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def _shown(openings: tuple[Opening, ...]) -> list[tuple[str, str]]:
    return [(f"{one.begin:%m-%d %H:%M}", f"{one.end:%m-%d %H:%M}") for one in openings]


def _around(calendar: Calendar, day: str) -> list[tuple[str, str]]:
    """What opens from the noon before a day to the noon after it, in UTC."""
    noon = _utc(f"{day} 12:00")
    return _shown(calendar.openings(noon - timedelta(days=1), noon))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        # On 2026-03-29 the clock leaps from 02:00 to 03:00, at 01:00 UTC.
        ("daily 01:00", "daily 04:00", [("03-29 00:00", "03-29 02:00")]),
        ("daily 02:10", "daily 02:50", []),
        ("daily 01:30", "daily 02:30", [("03-29 00:30", "03-29 01:00")]),
        ("daily 02:30", "daily 03:30", [("03-29 01:00", "03-29 01:30")]),
        ("daily 03:00", "daily 03:30", [("03-29 01:00", "03-29 01:30")]),
        ("sunday 02:30", "sunday 04:00", [("03-29 01:00", "03-29 02:00")]),
    ],
)
def test_the_hour_that_is_left_out(start: str, end: str, expected: list[tuple[str, str]]) -> None:
    """What lies in it alone does not open; what begins or ends in it begins or ends at the leap."""
    assert _around(_calendar(start, end), "2026-03-29") == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        # On 2026-10-25 the clock leaps from 03:00 back to 02:00, at 01:00 UTC.
        ("daily 01:00", "daily 04:00", [("10-24 23:00", "10-25 03:00")]),
        ("daily 02:00", "daily 03:00", [("10-25 00:00", "10-25 02:00")]),
        ("daily 02:10", "daily 02:50", [("10-25 00:10", "10-25 00:50"), ("10-25 01:10", "10-25 01:50")]),
        ("daily 01:30", "daily 02:30", [("10-24 23:30", "10-25 00:30"), ("10-25 01:00", "10-25 01:30")]),
        ("daily 02:30", "daily 03:30", [("10-25 00:30", "10-25 01:00"), ("10-25 01:30", "10-25 02:30")]),
    ],
)
def test_the_hour_that_comes_twice(start: str, end: str, expected: list[tuple[str, str]]) -> None:
    """The clock on the wall decides, both times."""
    assert _around(_calendar(start, end), "2026-10-25") == expected


def test_a_leap_at_midnight_leaves_no_night_out() -> None:
    """In Santiago 2026-09-06 begins at one: 23:30 to 01:30 lasts an hour that night."""
    found = _around(_calendar("daily 23:30", "daily 01:30", "America/Santiago"), "2026-09-06")

    assert found == [("09-06 03:30", "09-06 04:30")]


def test_a_window_runs_over_midnight_and_over_the_end_of_the_week() -> None:
    """The end of a weekly one is the first behind its start."""
    calendar = _calendar("sunday 22:00", "monday 02:00", "UTC")
    found = calendar.openings(_utc("2026-12-28 00:00"), _utc("2027-01-05 00:00"))

    assert _shown(found) == [("12-28 00:00", "12-28 02:00"), ("01-03 22:00", "01-04 02:00")]


def test_a_day_without_an_end_is_always_open() -> None:
    """Daily from a time to the same time."""
    calendar = _calendar("daily 00:00", "daily 00:00")

    assert calendar.opening(_utc("2026-03-29 01:00")) is not None
    assert len(calendar.openings(_utc("2026-01-01 00:00"), _utc("2027-01-01 00:00"))) == 1


def test_windows_that_touch_are_one_opening() -> None:
    """What is begun in one may go on in the other."""
    calendar = Calendar(
        (Window("a", "daily 01:00", "daily 02:00", "UTC"), Window("b", "daily 03:00", "daily 05:00", BERLIN))
    )

    assert _around(calendar, "2026-01-15") == [("01-15 01:00", "01-15 04:00")]


def test_a_blackout_ends_at_midnight_on_the_windows_own_wall() -> None:
    """The part of a window that lies on such a day is closed, the part before and behind it is not."""
    holidays = Blackout("holidays", "2026-12-24", "2026-12-26")
    calendar = _calendar("daily 22:00", "daily 02:00", BERLIN, holidays)
    found = calendar.openings(_utc("2026-12-23 12:00"), _utc("2026-12-27 12:00"))

    assert _shown(found) == [("12-23 21:00", "12-23 23:00"), ("12-26 23:00", "12-27 01:00")]


def test_what_opens_next() -> None:
    """Nothing does once the only window has been."""
    once = _calendar("2026-03-01 20:00", "2026-03-02 06:00", "UTC")

    assert once.following(_utc("2026-02-20 00:00")) == Opening(_utc("2026-03-01 20:00"), _utc("2026-03-02 06:00"))
    assert once.following(_utc("2026-03-01 20:00")) is None
    assert once.opening(_utc("2026-03-02 06:00")) is None


_WALL = st.builds(
    lambda day, hour, minute: (day, f"{hour:02}:{minute:02}"), st.integers(0, 6), st.integers(0, 23), st.integers(0, 59)
)
_LEAPS = (
    *("2026-03-29 01:00", "2026-10-25 01:00", "2026-09-06 04:00", "2026-04-05 03:00", "2026-04-04 15:00"),
    *("2026-10-03 15:30", "2026-04-23 22:00", "2026-10-29 21:00", "2026-11-01 06:00", "2026-03-08 07:00"),
)
_MOMENT = st.builds(
    lambda leap, minutes: _utc(leap) + minutes * MINUTE, st.sampled_from(_LEAPS), st.integers(-200, 200)
)


@given(_WALL, _WALL, st.sampled_from(ZONES), st.booleans(), _MOMENT)
@given_example((6, "02:30"), (6, "03:30"), BERLIN, False, _utc("2026-03-29 01:00"))  # noqa: FBT003 - weekly
def test_openings_hold_what_the_wall_shows_and_nothing_else(
    start: tuple[int, str], end: tuple[int, str], zone: str, daily: bool, moment: datetime
) -> None:
    """At every leap, by the minute: the wall's own arithmetic against the stretches."""
    days = ("daily", "daily") if daily else (DAYS[start[0]], DAYS[end[0]])
    calendar = _calendar(f"{days[0]} {start[1]}", f"{days[1]} {end[1]}", zone)
    shown = moment.astimezone(ZoneInfo(zone))
    day = 1440

    def minute(time: tuple[int, str]) -> int:
        return (0 if daily else time[0] * day) + int(time[1][:2]) * 60 + int(time[1][3:])

    period = day if daily else 7 * day
    asked = (0 if daily else shown.weekday() * day) + shown.hour * 60 + shown.minute
    lasts = (minute(end) - minute(start)) % period or (period if daily else 0)
    expected = (asked - minute(start)) % period < lasts
    opening = calendar.opening(moment)

    assert calendar.is_open(moment) == expected
    assert (opening is not None) == expected
    if opening and opening.end - moment < timedelta(minutes=lasts + day):  # further off it is cut
        assert not calendar.is_open(opening.end)
        assert calendar.is_open(opening.end - timedelta(seconds=1))


@given(st.text(max_size=40), st.integers(1, 6000))
def test_a_slot_is_fixed_and_within_its_spread(node: str, seconds: int) -> None:
    """It depends on the name alone."""
    found = slot(node, timedelta(seconds=seconds))

    assert timedelta(0) <= found < timedelta(seconds=seconds)
    assert found == slot(node, timedelta(seconds=seconds))


def test_slots_are_spread() -> None:
    """Of 1,000 nodes about 100 in each tenth of 45 minutes."""
    tenths = [int(slot(f"gpu-{number}", timedelta(minutes=45)) / timedelta(minutes=4.5)) for number in range(1000)]

    assert all(70 <= tenths.count(tenth) <= 130 for tenth in range(10))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("sunday 02:00", "sunday 05:00", "Sun *-*-* 02:00:00 Europe/Berlin"),
        ("daily 22:30", "daily 05:00", "*-*-* 22:30:00 Europe/Berlin"),
        ("2026-03-01 20:00", "2026-03-02 06:00", "2026-03-01 20:00:00 Europe/Berlin"),
    ],
)
def test_a_windows_start_in_systemds_words(start: str, end: str, expected: str) -> None:
    """As systemd.time(7) has it."""
    assert on_calendar(Window("w", start, end, BERLIN)) == expected

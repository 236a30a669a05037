"""Maintenance windows: what data say, and the days Alertmanager is given for it."""

from datetime import datetime, timedelta

import pytest
from hypothesis import example as given_example
from hypothesis import given
from hypothesis import strategies as st

from fleet.maintenance import Interval, Window, intervals, nonsense, shared

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MINUTES_OF_WEEK = 7 * 24 * 60


def _window(start: str, end: str) -> Window:
    return Window("w", start, end, "Europe/Berlin")


def _holds(interval: Interval, moment: datetime) -> bool:
    """Judge as Alertmanager does: the day fits, the start counts, the end does not (timeinterval.go, 0.28)."""
    if interval.date and interval.date.date() != moment.date():
        return False
    if interval.weekday and interval.weekday != DAYS[moment.weekday()]:
        return False
    return interval.start <= f"{moment:%H:%M}" < interval.end


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("sunday 02:00", "sunday 04:00", [("sunday", "02:00", "04:00")]),
        ("sunday 00:00", "monday 00:00", [("sunday", "00:00", "24:00")]),
        ("saturday 22:00", "sunday 00:00", [("saturday", "22:00", "24:00")]),
        (
            "sunday 23:59",
            "tuesday 00:01",
            [("sunday", "23:59", "24:00"), ("monday", "00:00", "24:00"), ("tuesday", "00:00", "00:01")],
        ),
    ],
)
def test_a_weekly_window_is_cut_at_midnight(start: str, end: str, expected: list[tuple[str, str, str]]) -> None:
    """Alertmanager has no time that runs past midnight, and calls the end of a day 24:00."""
    found = [(one.weekday, one.start, one.end) for one in intervals(_window(start, end))]

    assert found == expected


def test_a_dated_window_runs_over_the_end_of_a_leap_years_february() -> None:
    """The days are the calendar's."""
    found = intervals(_window("2028-02-28 20:00", "2028-03-01 06:00"))

    assert [(f"{one.date:%m-%d}", one.start, one.end) for one in found] == [
        ("02-28", "20:00", "24:00"),
        ("02-29", "00:00", "24:00"),
        ("03-01", "00:00", "06:00"),
    ]


@given(st.integers(0, MINUTES_OF_WEEK - 1), st.integers(1, MINUTES_OF_WEEK - 1), st.integers(0, MINUTES_OF_WEEK - 1))
@given_example(0, 1440, 1440)
def test_a_weekly_window_holds_its_minutes_and_no_other(start: int, lasts: int, asked: int) -> None:
    """Whatever the day it begins on and however long it is, any minute of the week is in it or not, as one counts."""
    monday = datetime(2024, 1, 1)  # noqa: DTZ001 - as in fleet/maintenance.py
    begin, until = (monday + timedelta(minutes=minutes) for minutes in (start, start + lasts))
    window = _window(*(f"{DAYS[moment.weekday()]} {moment:%H:%M}" for moment in (begin, until)))

    found = any(_holds(interval, monday + timedelta(minutes=asked)) for interval in intervals(window))

    assert found == ((asked - start) % MINUTES_OF_WEEK < lasts)


@given(st.datetimes(datetime(2024, 1, 1), datetime(2028, 12, 31)), st.integers(1, 31 * 1440), st.integers(-9999, 59999))  # noqa: DTZ001 - as above
def test_a_dated_window_holds_its_minutes_and_no_other(start: datetime, lasts: int, offset: int) -> None:
    """Across months and years."""
    begin = start.replace(second=0, microsecond=0)
    window = _window(f"{begin:%Y-%m-%d %H:%M}", f"{begin + timedelta(minutes=lasts):%Y-%m-%d %H:%M}")

    found = any(_holds(interval, begin + timedelta(minutes=offset)) for interval in intervals(window))

    assert found == (0 <= offset < lasts)


def test_each_node_is_muted_by_all_windows_that_apply_to_it() -> None:
    """An alert takes one route: nodes with the same windows share it, and the fleet's own window is in each."""
    windows = (
        Window("all", "sunday 02:00", "sunday 04:00", "UTC"),
        Window("disks", "monday 02:00", "monday 04:00", "UTC", ("gpu-01", "gpu-02")),
        Window("fan", "friday 02:00", "friday 04:00", "UTC", ("gpu-02",)),
    )

    assert shared(windows) == {
        ("maintenance-all", "maintenance-disks"): ("gpu-01",),
        ("maintenance-all", "maintenance-disks", "maintenance-fan"): ("gpu-02",),
    }
    assert shared(windows[:1]) == {}


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (Window("Disks", "sunday 02:00", "sunday 04:00", "UTC"), "'Disks' is no name"),
        (Window("x", "sunday 02:00", "2026-01-01 04:00", "UTC"), "lasts from 'sunday 02:00' to '2026-01-01 04:00'"),
        (Window("x", "Sun 02:00", "Sun 04:00", "UTC"), "lasts from 'Sun 02:00'"),
        (Window("x", "sunday 02:00", "sunday 24:00", "UTC"), "lasts from 'sunday 02:00'"),
        (Window("x", "2026-02-30 02:00", "2026-03-01 02:00", "UTC"), "lasts from '2026-02-30 02:00'"),
        (Window("x", "sunday 02:00", "sunday 02:00", "UTC"), "ends at sunday 02:00"),
        (Window("x", "2026-03-02 02:00", "2026-03-01 02:00", "UTC"), "ends at 2026-03-01 02:00"),
        (Window("x", "2026-03-01 02:00", "2026-06-01 02:00", "UTC"), "lasts more than 31 days"),
        (Window("x", "sunday 02:00", "sunday 04:00", "Europe/Berlin]"), "time_zone is 'Europe/Berlin]'"),
        (Window("x", "sunday 02:00", "sunday 04:00", "UTC", ("gpu-9",)), "no node is called gpu-9"),
        (Window("x", "sunday 02:00", "sunday 04:00", "UTC", ()), "nodes is empty"),
    ],
)
def test_nonsense_is_named(window: Window, said: str) -> None:
    """What cannot be meant is refused with the window's name."""
    (problem,) = nonsense([window], ["gpu-01"])

    assert said in problem[0]


def test_two_windows_of_one_name_are_refused() -> None:
    """The second would take the place of the first."""
    window = Window("x", "sunday 02:00", "sunday 04:00", "UTC")

    assert [what for what, _ in nonsense([window, window], [])] == ["maintenance has two windows x"]

"""Growth, against series with known answers."""

import math
import random

import pytest

from fleet import growth
from fleet.growth import DAY_SECONDS, Point, Trend

NOW = 1_800_000_000.0


def days(*values: float) -> list[Point]:
    """One value a day; the last one is now's."""
    return [(NOW - (len(values) - 1 - place) * DAY_SECONDS, value) for place, value in enumerate(values)]


def line(*values: float) -> Trend:
    """The line through one value a day."""
    found = growth.trend(days(*values))
    assert found
    return found


def test_a_straight_line_is_found_exactly() -> None:
    """Level, slope, no doubt, and the day on which it is full."""
    found = line(*(0.5 + 0.01 * day for day in range(28)))

    assert (found.level, found.per_day, found.margin) == pytest.approx((0.77, 0.01, 0))
    full = growth.forecast(found, 1)
    assert full
    assert full.expected
    assert (full.expected - NOW) / DAY_SECONDS == pytest.approx(23)
    assert full.earliest == pytest.approx(full.expected)
    assert found.at(NOW + 10 * DAY_SECONDS) == pytest.approx(0.87)


def test_the_margin_is_students() -> None:
    """A worked example: y = 1, 3, 2, 5, 4 over five days has slope 0.8 and a standard error of 0.34641 (0.12 ** 0.5).

    The 97.5 % quantile of Student's t with three degrees of freedom is 3.18245 (any table).
    """
    found = line(1, 3, 2, 5, 4)

    assert found.per_day == pytest.approx(0.8)
    assert found.margin == pytest.approx(3.18245 * math.sqrt(0.12), rel=0.002)


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 3.182446), (5, 2.570582), (10, 2.228139), (26, 2.055529)])
def test_the_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    """As every table of Student's t distribution has them."""
    assert growth._student(freedom) == pytest.approx(quantile, rel=0.002)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of 1000 noisy series with the same true slope, 95 % have it in their interval."""
    noise = random.Random(7)  # noqa: S311 - the same series in every run
    held = 0
    for _ in range(1000):
        found = line(*(0.3 + 0.004 * day + noise.gauss(0, 0.05) for day in range(14)))
        held += found.slowest <= 0.004 <= found.fastest

    assert 930 <= held <= 970


def test_noise_alone_is_no_growth() -> None:
    """Where the interval holds 0, no day is named on which it is full, but one before which it is not."""
    found = line(0.5, 0.7, 0.4, 0.6, 0.5, 0.7, 0.5, 0.6)
    full = growth.forecast(found, 1)

    assert not found.grows
    assert full
    assert (full.expected, full.latest) == (None, None)
    assert full.earliest > NOW


def test_what_shrinks_or_stands_is_never_full() -> None:
    """Nothing is foretold; rounding is no growth."""
    assert growth.forecast(line(*(0.9 - 0.01 * day for day in range(14))), 1) is None
    assert growth.forecast(line(*([0.1 + 0.2] * 14)), 1) is None


def test_what_is_full_is_full_now() -> None:
    """Whatever its slope."""
    full = growth.forecast(line(1.3, 1.2, 1.1), 1)

    assert full
    assert full.expected == NOW


def test_an_uncertain_growth_has_an_early_and_a_late_day() -> None:
    """In this order."""
    noise = random.Random(3)  # noqa: S311 - the same series in every run
    full = growth.forecast(line(*(0.2 + 0.01 * day + noise.gauss(0, 0.01) for day in range(21))), 1)

    assert full
    assert full.expected
    assert full.latest
    assert NOW < full.earliest < full.expected < full.latest


@pytest.mark.parametrize("points", [[], days(1), days(1, 2), [(NOW, 1.0), (NOW, 2.0), (NOW, 3.0)]])
def test_too_little_says_nothing(points: list[Point]) -> None:
    """Two points make a line and no statement of how sure it is; one moment makes none."""
    assert growth.trend(points) is None


def test_days_without_a_value_are_left_out() -> None:
    """A gap changes nothing on a straight line."""
    whole = days(*(0.1 * day for day in range(10)))

    found = growth.trend([point for place, point in enumerate(whole) if place not in {3, 4}])

    assert found
    assert found.per_day == pytest.approx(0.1)
    assert found.points == 8

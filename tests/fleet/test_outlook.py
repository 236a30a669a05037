"""What Prometheus' answers say of capacity, on synthetic fleets with known answers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from fleet import checks, outlook
from fleet.growth import DAY_SECONDS
from fleet.metrics import FAMILIES
from fleet.model import Fleet
from fleet.outlook import Finding, Outlook, Question
from tests.rules import promql
from tests.rules.exporters import EXPORTERS

SETTINGS = Outlook(days=28, least_days=7, horizon_days=90, busy_share=0.7)
START = 1_790_000_000
END = START + 27 * DAY_SECONDS


def series(value: Callable[[int], float], days: int = 28, **labels: str) -> dict[str, Any]:
    """One series of a matrix, as Prometheus answers it; its last day is END."""
    first = 28 - days
    return {
        "metric": labels,
        "values": [[START + day * DAY_SECONDS, str(value(day))] for day in range(first, 28)],
    }


def asked(resource: str, nodes: int = 4) -> Question:
    """The question about a resource."""
    return next(one for one in outlook.questions(SETTINGS, 100, nodes) if one.resource == resource)


def finding(resource: str, *matrix: dict[str, Any], nodes: int = 4) -> Finding:
    """The one thing an answer says."""
    (found,) = outlook.findings(asked(resource, nodes), matrix, SETTINGS)
    return found


def test_a_disk_that_grows_is_full_on_the_right_day() -> None:
    """From 50 % by 1 % a day: 77 % on the last day, full 23 days later."""
    found = finding("disk", series(lambda day: 0.5 + 0.01 * day, node="gpu-01", mountpoint="/"))

    assert found.where == "gpu-01 /"
    assert found.head_room == pytest.approx(0.23)
    assert found.full
    assert found.full.expected == pytest.approx(END + 23 * DAY_SECONDS)


def test_every_series_is_told_of_by_name() -> None:
    """In the order of the names, whatever the order of the answer."""
    matrix = [series(lambda _: 0.5, node=node, gpu="card0") for node in ("gpu-02", "gpu-01")]

    found = list(outlook.findings(asked("GPU memory"), matrix, SETTINGS))

    assert [one.where for one in found] == ["gpu-01 card0", "gpu-02 card0"]


def test_no_data_is_said_and_not_guessed() -> None:
    """Nothing at all, too few days, and days of which nothing is known."""
    nothing = finding("disk")
    few = finding("disk", series(lambda day: 0.01 * day, days=6))
    idle = finding("disk", series(lambda _: float("nan")))

    assert [(one.days, one.line, one.full, one.head_room) for one in (nothing, few, idle)] == [
        (0, None, None, None),
        (6, None, None, None),
        (0, None, None, None),
    ]
    assert outlook.advice(finding("nodes' work"), 4, SETTINGS) is None


def test_nodes_are_added_for_the_horizon() -> None:
    """Work grows by 0.02 nodes a day from 1.0: 1.54 now, 3.34 in 90 days.

    At 70 % each that takes 4.77, five nodes. Two of them are enough up to 1.4: since seven days they are not; three
    are up to 2.1, for 28 more days.
    """
    matrix = series(lambda day: 1 + 0.02 * day)

    two = outlook.advice(finding("nodes' work", matrix, nodes=2), 2, SETTINGS)
    three = outlook.advice(finding("nodes' work", matrix, nodes=3), 3, SETTINGS)
    five = outlook.advice(finding("nodes' work", matrix, nodes=5), 5, SETTINGS)

    assert two
    assert two.by
    assert (two.nodes, two.at_most, two.by.expected) == (3, 3, END)
    assert three
    assert three.by
    assert three.nodes == 2
    assert three.by.expected == pytest.approx(END + 28 * DAY_SECONDS)
    assert five
    assert (five.nodes, five.at_most) == (0, 0)


def test_noise_adds_no_node_and_says_how_many_it_might_be() -> None:
    """Where no growth can be told from noise, nobody buys a machine for it."""
    found = outlook.advice(finding("nodes' work", series(lambda day: 1.3 + 0.4 * (day % 3)), nodes=3), 3, SETTINGS)

    assert found
    assert found.nodes == 0
    assert found.at_most > 0


def test_a_fleet_that_shrinks_needs_none() -> None:
    """Nor does one whose work is exactly what it bears."""
    shrinking = outlook.advice(finding("nodes' work", series(lambda day: 2 - 0.05 * day)), 4, SETTINGS)
    exact = outlook.advice(finding("nodes' work", series(lambda _: 2.8)), 4, SETTINGS)

    assert shrinking
    assert exact
    assert (shrinking.nodes, shrinking.at_most, exact.nodes, exact.at_most) == (0, 0, 0, 0)


def test_every_metric_that_is_asked_for_exists() -> None:
    """By a row of fleet/metrics, by an exporter, or recorded from the users' objective."""
    known = {metric.name for metric in FAMILIES} | {name for names in EXPORTERS.values() for name in names}
    used = {name for one in outlook.questions(SETTINGS, 100, 4) for name in promql.families(one.expr)}

    assert used <= known | {"slo:capacity_used:ratio"}


def test_without_a_promise_to_users_nobody_asks_for_it() -> None:
    """The rest of the report is the same."""
    without = outlook.questions(SETTINGS, None, 4)

    assert [one.resource for one in without] == [
        one.resource for one in outlook.questions(SETTINGS, 100, 4) if one.resource != "users"
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"least_days": 2}, "least_days"), ({"horizon_days": 0}, "horizon_days"), ({"busy_share": 1.2}, "busy_share")],
)
def test_nonsense_is_refused(example: Fleet, changes: dict[str, Any], said: str) -> None:
    """With its address, before any node is contacted."""
    odd = dataclasses.replace(example["monitor-01"], capacity=dataclasses.replace(SETTINGS, **changes))

    problems = checks.run(dataclasses.replace(example, nodes=(*example.nodes[:-1], odd)))

    assert [problem.what for problem in problems] == [f"capacity.{said} is {changes[said]!r}"]

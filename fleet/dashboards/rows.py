"""What a dashboard holds, in this project's own words: panels are rows of data."""

from dataclasses import dataclass
from typing import Literal

SHARE = "percentunit"
"""Grafana's name of a share of 1, shown as per cent."""


@dataclass(frozen=True)
class Query:
    """One question of a panel.

    Attributes:
        expr: PromQL; may hold $node, $service and $__rate_interval.
        legend: the name of each series, with its labels in double braces.
    """

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: what stands above it.
        help: what it shows and how to read it, for a person.
        unit: Grafana's name of the unit.
        queries: what is asked.
        kind: lines over time, numbers of now, bars of now, or states over time: 1 is yes and 0 is no.
        width: in 24ths of the page.
        bound: where values become bad; drawn as a line, and as a colour.
        good: on which side of the bound values are good.
        highest: the end of the scale, where it has one.
    """

    title: str
    help: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["lines", "numbers", "bars", "states"] = "lines"
    width: int = 12
    bound: float | None = None
    good: Literal["below", "above"] = "below"
    highest: float | None = None


@dataclass(frozen=True)
class Board:
    """One dashboard.

    Attributes:
        uid: its name in addresses, and of its file.
        title: what people read.
        help: what it is for.
        one_node: whether it shows one node at a time.
        rows: heading to panels.
    """

    uid: str
    title: str
    help: str
    one_node: bool
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]

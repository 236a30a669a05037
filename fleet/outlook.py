"""The outlook on capacity: what Prometheus is asked, and what its answers say of growth and head-room."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fleet import growth
from fleet.growth import Forecast, Point, Trend

# Of each node, how busy its GPUs are: the busiest class of engines of each, on average over them.
_BUSY = "avg by (node) (max by (node, gpu) (rate(ipex_gpu_engine_busy_seconds_total[5m])))"
_CARD = 'sum by (node) (ipex_gpu_memory_total_bytes{region=~"vram.*"})'
_DISK = 'fstype!~"tmpfs|ramfs|overlay|squashfs|vfat|efivarfs"'


@dataclass(frozen=True)
class Outlook:
    """How growth is looked at.

    Attributes:
        days: how far back; no longer than Prometheus remembers.
        least_days: days with values below which nothing is said.
        horizon_days: how far ahead nodes are planned.
        busy_share: what a node's GPUs may be busy at the peak of a day; beyond it users wait.
    """

    days: int
    least_days: int
    horizon_days: int
    busy_share: float


@dataclass(frozen=True)
class Question:
    """What Prometheus is asked, for one value a day.

    Attributes:
        resource: what may become full, in a word or two.
        expr: PromQL, of a day.
        labels: labels that name what a series is of, in this order.
        limit: where it is full.
        share: whether values are shares of 1.
    """

    resource: str
    expr: str
    labels: tuple[str, ...]
    limit: float
    share: bool = True


@dataclass(frozen=True)
class Finding:
    """What is said of one resource in one place.

    Attributes:
        question: what was asked.
        where: whose it is.
        days: days with values.
        line: growth; None where there are too few days to tell.
        full: when it is full; None where it does not grow, or nothing is told.
    """

    question: Question
    where: str
    days: int
    line: Trend | None
    full: Forecast | None

    @property
    def head_room(self) -> float | None:
        """What is left to the limit on the last day."""
        return self.question.limit - self.line.level if self.line else None


@dataclass(frozen=True)
class Advice:
    """How many nodes to add.

    Attributes:
        nodes: so many more, for the horizon; 0 where those that are there will do.
        at_most: the same at the highest growth that is to be believed.
        by: when those that are there are no longer enough.
    """

    nodes: int
    at_most: int
    by: Forecast | None


def questions(outlook: Outlook, users: int | None, nodes: int) -> tuple[Question, ...]:
    """What there is to ask; the last one is how many nodes' worth of work the fleet does."""
    share = outlook.busy_share
    card = 'sum by (node, gpu) (ipex_gpu_memory_{}_bytes{{region=~"vram.*"}})'
    model = "sum by (node, service, model) (ipex_model_size_bytes)"
    disk = f"1 - node_filesystem_avail_bytes{{{_DISK}}} / node_filesystem_size_bytes{{{_DISK}}}"
    return (
        Question("disk", f"max_over_time(({disk})[1d:1h])", ("node", "mountpoint"), 1),
        Question("memory", _peak("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"), ("node",), 1),
        Question("GPU memory", _peak(f"{card.format('used')} / {card.format('total')}"), ("node", "gpu"), 1),
        Question("GPU busy", _peak(_BUSY), ("node",), share),
        Question("model", _peak(f"{model} / on (node) group_left () {_CARD}"), ("node", "service", "model"), 1),
        *((_users(users),) if users is not None else ()),
        Question("nodes' work", _peak(f"sum({_BUSY})"), (), nodes * share, share=False),
    )


def _users(promised: int) -> Question:
    """Recorded as a share of the objective: what counts as a user stands in one place."""
    expr = f"max_over_time((max(slo:capacity_used:ratio) * {promised})[1d:1m])"
    return Question("users", expr, (), promised, share=False)


def _peak(expr: str) -> str:
    """The value that a day stays below but for its busiest 72 minutes: a peak, and no single spike."""
    return f"quantile_over_time(0.95, ({expr})[1d:5m])"


def findings(question: Question, matrix: Sequence[Mapping[str, object]], outlook: Outlook) -> Iterator[Finding]:
    """What an answer of Prometheus says: one finding a series, by name; one without days where there is none."""
    series = sorted((_where(question, one), _points(one)) for one in matrix)
    for where, points in series or [("", [])]:
        line = growth.trend(points) if len(points) >= outlook.least_days else None
        yield Finding(question, where, len(points), line, growth.forecast(line, question.limit) if line else None)


def _where(question: Question, series: Mapping[str, object]) -> str:
    labels = series.get("metric")
    return " ".join(str(labels.get(label, "?")) for label in question.labels) if isinstance(labels, Mapping) else "?"


def _points(series: Mapping[str, object]) -> list[Point]:
    """The points of a series; NaN is no value (0 divided by 0, of an idle day)."""
    values = series.get("values")
    read = [(float(time), float(value)) for time, value in values] if isinstance(values, list) else []
    return [(time, value) for time, value in read if math.isfinite(value)]


def advice(work: Finding, nodes: int, outlook: Outlook) -> Advice | None:
    """How many nodes to add, from the fleet's work in nodes' worth; None where there are too few days to tell."""
    line = work.line
    if not line:
        return None
    ahead = outlook.horizon_days
    expected, highest = (
        _more(line.level + slope * ahead, nodes, outlook) for slope in (max(line.per_day, 0), max(line.fastest, 0))
    )
    return Advice(expected if line.grows or line.level > work.question.limit else 0, highest, work.full)


def _more(work: float, nodes: int, outlook: Outlook) -> int:
    # Rounded first: 4.000000001 nodes' worth is four.
    return max(0, math.ceil(round(work / outlook.busy_share, 6)) - nodes)


def nonsense(outlook: Outlook) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    for fits, name, cure in (
        (3 <= outlook.least_days <= outlook.days, "least_days", "Write 3 or more, and no more than capacity.days."),
        (outlook.horizon_days >= 1, "horizon_days", "Write 1 or more."),
        (0 < outlook.busy_share <= 1, "busy_share", "Write a share above 0, up to 1."),
    ):
        if not fits:
            yield f"capacity.{name} is {getattr(outlook, name)!r}", cure

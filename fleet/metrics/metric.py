"""What is said of one family of metrics."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One family of metrics.

    Attributes:
        name: Prometheus' name, with the base unit in it.
        kind: Prometheus' type; an information metric is a gauge that is always 1.
        help: What it means, as the exposition says it.
        source: Where the number comes from.
        labels: Names of its labels.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    source: str
    labels: tuple[str, ...] = ()

"""Grafana's units, out of the base unit that stands in a metric's name."""

_GAUGES = {
    "bytes": "bytes",
    "celsius": "celsius",
    "hertz": "hertz",
    "joules": "joule",
    "ratio": "percentunit",
    "rpm": "rotrpm",
    "seconds": "s",
    "watts": "watt",
}
_RATES = {"bytes": "Bps", "joules": "watt", "requests": "reqps", "seconds": "percentunit"}
"""Of what counters count, per second: joules become watts, and seconds a share of the time."""


def of(metric: str) -> str:
    """The unit a gauge's or a histogram's values are shown in; a plain number where its name has none."""
    return _GAUGES.get(metric.rpartition("_")[2], "short")


def of_rate(counter: str) -> str:
    """The unit of a counter's rate."""
    return _RATES.get(counter.removesuffix("_total").rpartition("_")[2], "cps")

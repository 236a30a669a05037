"""Numbers on their way to Prometheus: what a unit has measured, kept in a file that the agent reads.

The agent talks to the network and so has no privilege. What needs one is measured by a unit of its own, which
talks to nobody and leaves its numbers here.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node import border, files
from ipex_node.world import end_at_sigterm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


_SUFFIXES = {"", "_bucket", "_sum", "_count"}


@dataclass(frozen=True)
class Sample:
    """One number of one family.

    Attributes:
        family: Name of the metric's family, as fleet/metrics/ has it.
        labels: Label to value.
        value: In the family's unit.
        suffix: What Prometheus adds to the name of a histogram's parts: `_bucket`, `_sum` or `_count`.
    """

    family: str
    labels: dict[str, str]
    value: float
    suffix: str = ""


def absent(source: str, reason: str) -> Sample:
    """Return the word on numbers that cannot be had: an absence with a reason, where 0 would be a lie.

    Args:
        source: What would have them.
        reason: Why it does not give them, for a person.
    """
    return Sample("ipex_metrics_absent", {"source": source, "reason": reason}, 1)


def write(path: Path, samples: Iterable[Sample]) -> None:
    """Leave numbers for the agent, all at once."""
    rows = [[one.family, one.labels, one.value, one.suffix] for one in samples]
    files.write(path, json.dumps({"time": time.time(), "samples": rows}).encode(), 0o644)


def keep(path: Path, measure: Callable[[], Iterable[Sample]], seconds: float) -> None:
    """Measure and leave the numbers, every so many seconds from the first time on, until SIGTERM."""
    end_at_sigterm()
    due = time.monotonic()
    try:
        while True:
            write(path, measure())
            due = max(due + seconds, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
    except KeyboardInterrupt:
        return


def read(path: Path, fresh_seconds: float) -> list[Sample] | None:
    """Return what was left; none where nothing was, or nothing for longer than `fresh_seconds`."""
    try:
        left = border.load(path)
        if not 0 <= time.time() - left["time"] <= fresh_seconds:
            return None
        return [_sample(*row) for row in left["samples"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _sample(family: str, labels: dict[str, str], value: float, suffix: str) -> Sample:
    """Return one number; a file of another shape is no file of this program's."""
    if not isinstance(value, int | float):
        raise TypeError(family)
    for word in (family, suffix, *labels.values()):
        # Half of a pair of surrogates is no text, and the page could not be sent.
        word.encode()
    if suffix not in _SUFFIXES or not all(name.isascii() and name.isidentifier() for name in labels):
        raise ValueError(family)
    if "le" in labels:
        float(labels["le"])
    return Sample(family, labels, float(value), suffix)

"""What a node's page of metrics says of its GPUs. Pure; what cannot be understood is left out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node.fitness import gpus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GPUS = 16
"""GPUs kept at most of one node: what another machine says is bounded here."""
_LONGEST_LINE = 1000
_FAMILIES = (
    "ipex_gpu_info{",
    "ipex_gpu_utilization_ratio{",
    "ipex_gpu_memory_used_bytes{",
    "ipex_gpu_memory_total_bytes{",
    "ipex_gpu_temperature_celsius{",
    "ipex_gpu_power_watts{",
)
_LINE = re.compile(r"(?P<family>[a-z_]+)\{(?P<labels>.*)\} (?P<value>[0-9.eE+-]+)")
_LABEL = re.compile(r'([a-z_]+)="([^"\\]*)"')
_GPU = re.compile(r"card[0-9]{1,3}")
_OWN = "vram0"
"""The region that is a card's own memory, with either driver."""


@dataclass
class Gpu:
    """One GPU; a number that nobody has measured is None.

    Attributes:
        product: What it is.
        driver: Its kernel driver.
        busy: Share of the time in which its busiest class of engines worked.
        memory_used: Bytes of its own memory in use.
        memory_total: Bytes it has.
        temperature: Of its hottest part, in degrees Celsius.
        power: In watts, the whole card where it has a sensor for that.
    """

    product: str = ""
    driver: str = ""
    busy: float | None = None
    memory_used: float | None = None
    memory_total: float | None = None
    temperature: float | None = None
    power: float | None = None


def read(page: bytes) -> dict[str, Gpu]:
    """Return name to GPU, as a page in Prometheus' text format says it."""
    found: dict[str, Gpu] = {}
    for family, labels, value in _samples(page):
        if family == "ipex_gpu_info" and _GPU.fullmatch(labels.get("gpu", "")) and len(found) < GPUS:
            product = gpus.lookup(labels.get("pci_id", "")[:20]).name
            found[labels["gpu"]] = Gpu(product, labels.get("driver", "")[:20])
        elif labels.get("gpu") in found:
            _measure(found[labels["gpu"]], family, labels, value)
    return dict(sorted(found.items()))


def _samples(page: bytes) -> Iterator[tuple[str, dict[str, str], float]]:
    # A page that was cut ends in half a line; whole ones end in a line break.
    whole = page.rpartition(b"\n")[0].decode(errors="replace")
    for line in whole.split("\n"):
        if not line.startswith(_FAMILIES) or len(line) > _LONGEST_LINE:
            continue
        if match := _LINE.fullmatch(line):
            try:
                value = float(match["value"])
            except ValueError:
                continue
            if math.isfinite(value):
                yield match["family"], dict(_LABEL.findall(match["labels"])), value


def _measure(gpu: Gpu, family: str, labels: Mapping[str, str], value: float) -> None:
    if family == "ipex_gpu_utilization_ratio":
        gpu.busy = max(gpu.busy or 0.0, min(1.0, max(0.0, value)))
    elif family == "ipex_gpu_temperature_celsius":
        gpu.temperature = value if gpu.temperature is None else max(gpu.temperature, value)
    elif family == "ipex_gpu_power_watts":
        # A package is part of its card: the larger number is the card's.
        gpu.power = value if gpu.power is None else max(gpu.power, value)
    elif family == "ipex_gpu_memory_used_bytes" and labels.get("region") == _OWN:
        gpu.memory_used = value
    elif family == "ipex_gpu_memory_total_bytes" and labels.get("region") == _OWN:
        gpu.memory_total = value

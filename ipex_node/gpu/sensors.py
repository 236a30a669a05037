"""What an Intel GPU's sensors, clocks and throttles say in sysfs, for i915 and xe, without any privilege.

Files and units: Linux' Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon and -xe-hwmon (energy in
microjoules, power limits in microwatts, temperature in thousandths of a degree, fans in revolutions per minute),
and the drivers' intel_gt_sysfs_pm.c, xe_gt_freq.c, xe_gt_idle.c, xe_gt_throttle.c (MHz, ms). What a machine does
not have yields nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ipex_node.gpu.cards import number, text
from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.gpu.cards import Card

_SENSOR = re.compile(r"(energy|temp|fan)(\d+)_input|(power)(\d+)_max")
_FAMILIES = {
    "energy": ("ipex_gpu_energy_joules_total", 1e-6),
    "temp": ("ipex_gpu_temperature_celsius", 1e-3),
    "fan": ("ipex_gpu_fan_rpm", 1.0),
    "power": ("ipex_gpu_power_limit_watts", 1e-6),
}
_COLDEST = -273_150
"""In thousandths of a degree Celsius."""
# What a sensor measures where the driver writes no label: i915 never does, xe does not for temperatures
# before Linux 6.17. From the ABI documents named above.
_UNLABELLED = {
    ("i915", "energy1"): "card",
    ("i915", "power1"): "card",
    ("i915", "temp1"): "pkg",
    ("xe", "energy1"): "card",
    ("xe", "energy2"): "pkg",
    ("xe", "power1"): "card",
    ("xe", "power2"): "pkg",
    ("xe", "temp2"): "pkg",
    ("xe", "temp3"): "vram",
}


def samples(card: Card) -> Iterator[Sample]:
    """Read one GPU."""
    yield from _sensors(card)
    yield from _gts_of_i915(card)
    yield from _gts_of_xe(card)


def _sensors(card: Card) -> Iterator[Sample]:
    for hwmon in sorted(card.device.glob("hwmon/hwmon*")):
        driver = text(hwmon / "name") or ""
        for path in _listed(hwmon):
            found = _SENSOR.fullmatch(path.name)
            value = number(path, lowest=_COLDEST if path.name.startswith("temp") else 0) if found else None
            if not found or value is None:
                continue
            kind, index = found[1] or found[3], found[2] or found[4]
            if kind == "power" and value == 0:
                continue  # "A read value of 0 means that the PL1 power limit is disabled", say both documents
            family, unit = _FAMILIES[kind]
            yield Sample(family, {"gpu": card.name, "sensor": _name(hwmon, driver, f"{kind}{index}")}, value * unit)


def _name(hwmon: Path, driver: str, place: str) -> str:
    """Say what a sensor measures."""
    # i915 shows the energy of single GTs as chips of their own, named i915_gtN.
    fallback = driver.removeprefix("i915_") if "_gt" in driver else _UNLABELLED.get((driver, place), place)
    return text(hwmon / f"{place}_label") or fallback


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _gts_of_i915(card: Card) -> Iterator[Sample]:
    for gt in sorted(card.place.glob("gt/gt*")):
        labels = {"gpu": card.name, "gt": gt.name}
        yield from _clock(labels, gt / "rps_act_freq_mhz", gt / "rc6_residency_ms")
        for path in sorted(gt.glob("throttle_reason_*")):
            reason = path.name.removeprefix("throttle_reason_")
            value = number(path)
            if reason != "status" and value is not None:
                yield Sample("ipex_gpu_throttled", {**labels, "reason": reason}, float(value != 0))


def _gts_of_xe(card: Card) -> Iterator[Sample]:
    for gt in sorted(card.device.glob("tile*/gt*")):
        labels = {"gpu": card.name, "gt": gt.name}
        yield from _clock(labels, gt / "freq0/act_freq", gt / "gtidle/idle_residency_ms")
        # One file says all reasons at one moment; the single files are read at different moments, and older
        # kernels have only those.
        at_once = text(gt / "freq0/throttle/reasons")
        for path in sorted((gt / "freq0/throttle").glob("reason_*")):
            reason = path.name.removeprefix("reason_")
            value = number(path) if at_once is None else reason in at_once.split()
            if value is not None:
                yield Sample("ipex_gpu_throttled", {**labels, "reason": reason}, float(value != 0))


def _clock(labels: dict[str, str], megahertz: Path, idle_milliseconds: Path) -> Iterator[Sample]:
    frequency, idle = number(megahertz), number(idle_milliseconds)
    if frequency is not None:
        yield Sample("ipex_gpu_frequency_hertz", labels, frequency * 1e6)
    if idle is not None:
        yield Sample("ipex_gpu_idle_seconds_total", labels, idle / 1000)

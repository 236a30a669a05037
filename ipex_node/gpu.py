"""Intel GPUs as sysfs shows them, for the i915 and the xe driver, without any privilege.

Files and units: Linux' Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon and -xe-hwmon (energy in
microjoules, temperature in thousandths of a degree, fans in revolutions per minute), and the drivers'
intel_gt_sysfs_pm.c, xe_gt_freq.c, xe_gt_idle.c, xe_gt_throttle.c (MHz, ms). What a machine does not have
yields nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_INTEL = "0x8086"
_CARD = re.compile(r"card\d+")
_SENSOR = re.compile(r"(energy|temp|fan)(\d+)_input")
_FAMILIES = {
    "energy": ("ipex_gpu_energy_joules_total", 1e-6),
    "temp": ("ipex_gpu_temperature_celsius", 1e-3),
    "fan": ("ipex_gpu_fan_rpm", 1.0),
}
# What a sensor measures where the driver writes no label: i915 never does, xe does not for temperatures
# before Linux 6.17. From the ABI documents named above.
_UNLABELLED = {
    ("i915", "energy1"): "card",
    ("i915", "temp1"): "pkg",
    ("xe", "energy1"): "card",
    ("xe", "energy2"): "pkg",
    ("xe", "temp2"): "pkg",
    ("xe", "temp3"): "vram",
}


@dataclass(frozen=True)
class Sample:
    """One number of one family.

    Attributes:
        family: Name of the metric.
        labels: Label to value.
        value: In the family's unit.
    """

    family: str
    labels: dict[str, str]
    value: float


def is_there(sysfs: Path) -> bool:
    """Whether this machine has an Intel GPU with a driver.

    Args:
        sysfs: Where sysfs is, /sys on a real machine.
    """
    return any(sample.family == "ipex_gpu_info" for sample in samples(sysfs))


def samples(sysfs: Path) -> Iterator[Sample]:
    """Read every Intel GPU that has a driver.

    Args:
        sysfs: Where sysfs is, /sys on a real machine.
    """
    for card in sorted(sysfs.glob("class/drm/card*")):
        device = card / "device"
        if not _CARD.fullmatch(card.name) or _text(device / "vendor") != _INTEL:
            continue
        said = dict(line.partition("=")[::2] for line in (_text(device / "uevent") or "").splitlines())
        labels = {
            "gpu": card.name,
            "pci_id": said.get("PCI_ID", "").lower(),
            "pci_slot": said.get("PCI_SLOT_NAME", ""),
            "driver": said.get("DRIVER", ""),
        }
        yield Sample("ipex_gpu_info", labels, 1)
        yield from _sensors(card.name, device)
        yield from _gts_of_i915(card.name, card)
        yield from _gts_of_xe(card.name, device)


def _sensors(gpu: str, device: Path) -> Iterator[Sample]:
    for hwmon in sorted(device.glob("hwmon/hwmon*")):
        driver = _text(hwmon / "name") or ""
        for path in sorted(hwmon.iterdir()):
            found = _SENSOR.fullmatch(path.name)
            value = _number(path) if found else None
            if not found or value is None:
                continue
            # i915 shows the energy of single GTs as chips of their own, named i915_gtN.
            place = f"{found[1]}{found[2]}"
            fallback = driver.removeprefix("i915_") if "_gt" in driver else _UNLABELLED.get((driver, place), place)
            family, unit = _FAMILIES[found[1]]
            sensor = _text(hwmon / f"{place}_label") or fallback
            yield Sample(family, {"gpu": gpu, "sensor": sensor}, value * unit)


def _gts_of_i915(gpu: str, card: Path) -> Iterator[Sample]:
    for gt in sorted(card.glob("gt/gt*")):
        labels = {"gpu": gpu, "gt": gt.name}
        yield from _clock(labels, gt / "rps_act_freq_mhz", gt / "rc6_residency_ms")
        for path in sorted(gt.glob("throttle_reason_*")):
            reason = path.name.removeprefix("throttle_reason_")
            value = _number(path)
            if reason != "status" and value is not None:
                yield Sample("ipex_gpu_throttled", {**labels, "reason": reason}, value)


def _gts_of_xe(gpu: str, device: Path) -> Iterator[Sample]:
    for gt in sorted(device.glob("tile*/gt*")):
        labels = {"gpu": gpu, "gt": gt.name}
        yield from _clock(labels, gt / "freq0/act_freq", gt / "gtidle/idle_residency_ms")
        # One file says all reasons at one moment; the single files are read at different moments, and older
        # kernels have only those.
        at_once = _text(gt / "freq0/throttle/reasons")
        for path in sorted((gt / "freq0/throttle").glob("reason_*")):
            reason = path.name.removeprefix("reason_")
            value = _number(path) if at_once is None else float(reason in at_once.split())
            if value is not None:
                yield Sample("ipex_gpu_throttled", {**labels, "reason": reason}, value)


def _clock(labels: dict[str, str], megahertz: Path, idle_milliseconds: Path) -> Iterator[Sample]:
    frequency, idle = _number(megahertz), _number(idle_milliseconds)
    if frequency is not None:
        yield Sample("ipex_gpu_frequency_hertz", labels, frequency * 1e6)
    if idle is not None:
        yield Sample("ipex_gpu_idle_seconds_total", labels, idle / 1000)


def _text(path: Path) -> str | None:
    """Read a file; a sensor that is not there, or asleep, or gone while reading, says nothing."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None


def _number(path: Path) -> float | None:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None

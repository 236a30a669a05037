"""What an Intel GPU is, told from its PCI device id, and what it asks of the kernel. The table is gpus.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DRIVERS = ("i915", "xe")
"""The kernel drivers for Intel's GPUs."""


class GenerationClass(StrEnum):
    """What the project can do with a GPU; the reasons stand in gpus.toml."""

    ARC = "arc"
    XE_LP = "xe-lp"
    LEGACY = "legacy"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Gpu:
    """One model of GPU.

    Attributes:
        pci_id: PCI device id, four lower-case hex digits; what was asked for where that is no id.
        name: The product's name, or the platform's where no product is named.
        platform: The name of the chip's generation, "unknown" where the table has none.
        generation_class: What the project can do with it.
        ip_version: Graphics IP version times 100 (12.55 is 1255); None before Xe and for unknown ids.
        discrete: It has memory of its own; None for unknown ids.
        kernel: Driver to the first Linux that drives it, "6.12"; a driver for which no source says one is not in it.
        firmware: The GuC firmware without which no driver runs it, below /lib/firmware; None where none is known.
    """

    pci_id: str
    name: str
    platform: str
    generation_class: GenerationClass
    ip_version: int | None
    discrete: bool | None
    kernel: Mapping[str, str] = field(default_factory=dict, hash=False)
    firmware: str | None = None


def lookup(pci_id: str) -> Gpu:
    """Return the GPU behind a PCI device id, in any of the forms a node gives: 56a0, 0x56A0, 8086:56A0.

    Every kernel release adds ids, so an id that the table lacks is an unknown GPU and no error. An id of
    another vendor is unknown too.
    """
    vendor, colon, device = pci_id.strip().lower().rpartition(":")
    known = _table().get(device.removeprefix("0x"))
    if known and (not colon or vendor.removeprefix("0x") == "8086"):
        return known
    return Gpu(pci_id, f"unknown GPU {pci_id}", "unknown", GenerationClass.UNKNOWN, None, None)


@cache
def _table() -> dict[str, Gpu]:
    document = tomllib.loads((files(__package__) / "gpus.toml").read_text(encoding="utf-8"))
    return {
        pci_id.lower(): Gpu(
            pci_id=pci_id.lower(),
            name=platform.get("names", {}).get(pci_id, platform["name"]),
            platform=platform["name"],
            generation_class=GenerationClass(platform["class"]),
            ip_version=platform.get("ip_version"),
            discrete=platform["discrete"],
            kernel=platform.get("kernel", {}),
            firmware=platform.get("firmware"),
        )
        for platform in document["platform"]
        for pci_id in platform["ids"].split()
    }

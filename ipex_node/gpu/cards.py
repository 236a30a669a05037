"""Intel GPUs that have a kernel driver, as sysfs shows them without any privilege.

Places: drivers/gpu/drm/drm_sysfs.c (class/drm) and drivers/pci/pci-driver.c (uevent) of Linux.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_INTEL = "0x8086"
_CARD = re.compile(r"card\d+")
_NUMBER = re.compile(r"-?[0-9]{1,20}")


@dataclass(frozen=True)
class Card:
    """One GPU.

    Attributes:
        name: The kernel's name of this boot, such as card0.
        place: Its directory in sysfs' class/drm.
        driver: i915 or xe.
        pci_id: Vendor and device, such as 8086:56a0.
        pci_slot: Its address on the bus, by which a descriptor's fdinfo names it.
        render_node: Name of the device in /dev/dri; none where the driver shows none.
    """

    name: str
    place: Path
    driver: str
    pci_id: str
    pci_slot: str
    render_node: str | None

    @property
    def device(self) -> Path:
        """The PCI device's directory in sysfs."""
        return self.place / "device"

    def info(self) -> Sample:
        """Return what identifies it."""
        labels = {"gpu": self.name, "pci_id": self.pci_id, "pci_slot": self.pci_slot, "driver": self.driver}
        return Sample("ipex_gpu_info", labels, 1)


def are_there(sysfs: Path) -> bool:
    """Whether this machine has an Intel GPU with a driver.

    Args:
        sysfs: Where sysfs is, /sys on a real machine.
    """
    return any(listed(sysfs))


def listed(sysfs: Path) -> Iterator[Card]:
    """Find every Intel GPU that has a driver.

    Args:
        sysfs: Where sysfs is, /sys on a real machine.
    """
    for place in sorted(sysfs.glob("class/drm/card*")):
        device = place / "device"
        if not _CARD.fullmatch(place.name) or text(device / "vendor") != _INTEL:
            continue
        said = dict(line.partition("=")[::2] for line in (text(device / "uevent") or "").splitlines())
        render_node = min((path.name for path in device.glob("drm/renderD*")), default=None)
        pci_id, slot = said.get("PCI_ID", "").lower(), said.get("PCI_SLOT_NAME", "")
        yield Card(place.name, place, said.get("DRIVER", ""), pci_id, slot, render_node)


def text(path: Path) -> str | None:
    """Read a file; a sensor that is not there, or asleep, or gone while reading, says nothing."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None


def number(path: Path, *, lowest: int = 0) -> int | None:
    """Read a whole number, as sysfs writes all of them; none where there is no such thing, or one that cannot be."""
    said = text(path) or ""
    value = int(said) if _NUMBER.fullmatch(said) else None
    return value if value is not None and value >= lowest else None

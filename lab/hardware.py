"""Trees of plain files that look like sysfs and procfs of a machine with Intel GPUs.

A lab node has no GPU, and nothing can be created under its real /sys: what reads hardware takes the root of
both as a setting. The names and units of the files are those of the kernel:
Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon and -xe-hwmon, drivers/gpu/drm/i915/gt/
intel_gt_sysfs_pm.c and sysfs_engines.c, drivers/gpu/drm/xe/xe_gt_freq.c, xe_gt_idle.c, xe_gt_throttle.c,
xe_hw_engine_class_sysfs.c and xe_vram_freq.c.
Nothing is there that the real driver would not show.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab import hardware_clients, hardware_files

BY_NODE = {"gpu-01": "a770-i915", "gpu-02": "b580-xe", "gpu-03": "meteor-lake-igpu"}
OTHER_GPU_NODE = "a770-i915"

DISPLAY = "0x030000"
ETHERNET = "0x020000"


@dataclass(frozen=True)
class Card:
    """One PCI device.

    Attributes:
        bridges: PCI addresses between the root bus and the device, nearest to the root first.
        slot: its own PCI address.
        vendor: PCI vendor id, four hex digits.
        device: PCI device id, four hex digits.
        pci_class: as the file `class` has it.
        driver: the bound kernel driver; empty for none.
        discrete: it has memory, fans and sensors of its own.
        gts: how many graphics tiles' GTs the driver shows.
        vram: bytes of memory of its own.
        has_fan: it cools itself.
        is_early: the driver is that of Linux 6.12: no temperature, no fan, no list of throttle reasons.
        engines: engine class to its number of engines.
    """

    bridges: tuple[str, ...]
    slot: str
    vendor: str
    device: str
    pci_class: str = DISPLAY
    driver: str = ""
    discrete: bool = False
    gts: int = 1
    vram: int = 0
    has_fan: bool = True
    is_early: bool = False
    engines: Mapping[str, int] = field(default_factory=lambda: hardware_clients.ALCHEMIST)

    @property
    def place(self) -> Path:
        """Where the device's directory stands below sysfs."""
        return Path("devices/pci0000:00", *self.bridges, self.slot)


# An Arc card carries a PCIe switch of its own: root port, upstream port, downstream port, GPU.
_BEHIND_SWITCH = ("0000:00:01.0", "0000:01:00.0", "0000:02:01.0")
_SECOND_SWITCH = ("0000:00:06.0", "0000:05:00.0", "0000:06:01.0")

_A770 = Card(_BEHIND_SWITCH, "0000:03:00.0", "8086", "56a0", driver="i915", discrete=True, vram=17_095_983_104)
_FLEX = replace(_A770, device="56c0", vram=15_032_385_536, has_fan=False)
_A770_UNBOUND = Card(_BEHIND_SWITCH, "0000:03:00.0", "8086", "56a0", discrete=True)
_B580 = Card(_BEHIND_SWITCH, "0000:03:00.0", "8086", "e20b", driver="xe", discrete=True, gts=2, vram=12_168_933_376)
_EARLY_B580 = replace(_B580, is_early=True)
_SECOND_B580 = replace(_B580, bridges=_SECOND_SWITCH, slot="0000:07:00.0")
_METEOR_LAKE = Card((), "0000:00:02.0", "8086", "7d55", driver="i915", gts=2, engines=hardware_clients.METEOR_LAKE)
_UHD630 = Card((), "0000:00:02.0", "8086", "3e92", driver="i915", engines=hardware_clients.GEN9)
_UNLISTED = replace(_B580, device="e2ff")
# What every server has, and no GPU of the fleet is: Intel's network card and the board controller's VGA.
_NETWORK = Card((), "0000:00:1f.6", "8086", "15f3", pci_class=ETHERNET)
_BOARD_VGA = Card(("0000:00:1c.0",), "0000:04:00.0", "1a03", "2000")

KINDS: dict[str, tuple[Card, ...]] = {
    "a770-i915": (_A770,),
    "flex-170": (_FLEX,),
    "b580-xe": (_B580,),
    "b580-xe-6.12": (_EARLY_B580,),
    "meteor-lake-igpu": (_METEOR_LAKE,),
    "uhd630-legacy": (_UHD630,),
    "no-gpu": (_BOARD_VGA,),
    "no-driver": (_A770_UNBOUND,),
    "unknown-id": (_UNLISTED,),
    "two-gpus": (_A770, _SECOND_B580),
}


def install(root: Path, node_name: str) -> None:
    """Write the trees of a lab node below its root directory: /lab/sysfs and /lab/proc.

    A node that is no gpu-NN gets a machine without an Intel GPU.
    """
    kind = BY_NODE.get(node_name, OTHER_GPU_NODE if re.match(r"gpu-\d", node_name) else "no-gpu")
    write(root / "lab", kind)


def write(root: Path, kind: str, seconds: int = 0) -> None:
    """Write `root`/sysfs and `root`/proc of one kind of machine, in place of what is there.

    Args:
        root: where.
        kind: one of KINDS.
        seconds: how much later it is, for what counts.

    Raises:
        KeyError: there is no such kind; KINDS has them.
    """
    cards = KINDS[kind]
    sysfs, proc = root / "sysfs", root / "proc"
    for tree in (sysfs, proc):
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
    release = hardware_files.OLD_KERNEL if any(card.is_early for card in cards) else hardware_files.KERNEL
    _files(proc, {"meminfo": hardware_files.MEMINFO.rstrip(), "sys/kernel/osrelease": release})
    for card in (*cards, _NETWORK):
        _device(sysfs, card)
    for index, card in enumerate(card for card in cards if card.driver):
        _drm(sysfs, card, index)
        if card.discrete:
            _hwmon(sysfs, card, index, seconds)
    _processes(proc, [card for card in cards if card.driver], seconds)


def _processes(proc: Path, cards: list[Card], seconds: int) -> None:
    """Write init, and engines that hold every GPU's render node; one of them twice, after dup(2)."""
    _files(
        proc / "1", {"comm": "systemd", "fdinfo/0": hardware_clients.OTHER_FILE, "fdinfo/4": hardware_clients.EVENTS}
    )
    for use in hardware_clients.USES if cards else ():
        said = [fdinfo(use, card, seconds) for card in cards]
        numbered = {f"fdinfo/{number}": fdinfo for number, fdinfo in enumerate([*said, said[0]], 20)}
        _files(proc / str(use.pid), {"comm": use.command, "fdinfo/0": hardware_clients.OTHER_FILE, **numbered})


def fdinfo(use: hardware_clients.Use, card: Card, seconds: int) -> str:
    """Return what the driver of a card says of a process' open render node after so many seconds."""
    if card.driver == "xe":
        return hardware_clients.xe(use, card.slot, card.engines, seconds=seconds)
    return hardware_clients.i915(use, card.slot, card.engines, discrete=card.discrete, seconds=seconds)


def _device(sysfs: Path, card: Card) -> None:
    ids = f"{card.vendor.upper()}:{card.device.upper()}"
    uevent = f"PCI_CLASS={int(card.pci_class, 16):X}\nPCI_ID={ids}\nPCI_SLOT_NAME={card.slot}"
    files = {
        "vendor": f"0x{card.vendor}",
        "device": f"0x{card.device}",
        "class": card.pci_class,
        "subsystem_vendor": f"0x{card.vendor}",
        "subsystem_device": "0x1020",
        "revision": "0x08",
        "numa_node": "-1",
        "uevent": f"DRIVER={card.driver}\n{uevent}" if card.driver else uevent,
    }
    _files(sysfs / card.place, files)
    _link(sysfs / "bus/pci/devices" / card.slot, sysfs / card.place)
    if card.driver:
        driver = sysfs / "bus/pci/drivers" / card.driver
        driver.mkdir(parents=True, exist_ok=True)
        _link(sysfs / card.place / "driver", driver)
        _link(driver / card.slot, sysfs / card.place)


def _drm(sysfs: Path, card: Card, index: int) -> None:
    """Write the card and render nodes, with what the driver shows of clocks, sleep and throttling."""
    device = sysfs / card.place
    numbers = {f"card{index}": index, f"renderD{128 + index}": 128 + index}
    for name, minor in numbers.items():
        node = device / "drm" / name
        _files(
            node, {"dev": f"226:{minor}", "uevent": f"MAJOR=226\nMINOR={minor}\nDEVNAME=dri/{name}\nDEVTYPE=drm_minor"}
        )
        _link(node / "device", device)
        _link(sysfs / "class/drm" / name, node)
    if card.driver == "i915":
        _files(device / "drm" / f"card{index}", hardware_files.i915(card.gts, card.engines))
    else:
        _files(device, hardware_files.xe(card.gts, card.engines, early=card.is_early))


def _hwmon(sysfs: Path, card: Card, index: int, seconds: int) -> None:
    # The number changes from boot to boot on a real machine too: other sensors came first.
    directory = sysfs / card.place / "hwmon" / f"hwmon{index + 2}"
    files = {"i915": hardware_files.I915_HWMON, "xe": hardware_files.XE_HWMON}[card.driver]
    unknown = ("temp", "fan") if card.is_early else () if card.has_fan else ("fan",)
    _files(directory, {name: said for name, said in files.items() if not name.startswith(unknown)})
    energy = {
        name: int(said) + seconds * hardware_files.MICROWATTS
        for name, said in files.items()
        if "energy" in name and "input" in name
    }
    _files(directory, {name: str(said) for name, said in energy.items()})
    _link(directory / "device", sysfs / card.place)
    _link(sysfs / "class/hwmon" / directory.name, directory)


def _files(directory: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def _link(link: Path, target: Path) -> None:
    """Link relatively, as sysfs does: the tree may be moved into a node."""
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))

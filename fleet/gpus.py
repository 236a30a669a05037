"""What an Intel GPU is, told from its PCI device id. Pure: the table is fleet/gpus.toml."""

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files


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
        name: the product's name, or the platform's where no product is named.
        platform: the name of the chip's generation, "unknown" where the table has none.
        generation_class: what the project can do with it.
        ip_version: graphics IP version times 100 (12.55 is 1255); None before Xe and for unknown ids.
        discrete: it has memory of its own; None for unknown ids.
    """

    pci_id: str
    name: str
    platform: str
    generation_class: GenerationClass
    ip_version: int | None
    discrete: bool | None


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
        )
        for platform in document["platform"]
        for pci_id in platform["ids"].split()
    }

"""The table of Intel GPUs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipex_node.fitness import gpus
from ipex_node.fitness.gpus import DRIVERS, GenerationClass, lookup

DOCUMENT = tomllib.loads((Path(gpus.__file__).parent / "gpus.toml").read_text())
IDS = [pci_id for platform in DOCUMENT["platform"] for pci_id in platform["ids"].split()]


@pytest.mark.parametrize(
    ("pci_id", "name", "generation_class", "discrete"),
    [
        ("56a0", "Arc A770", GenerationClass.ARC, True),
        ("e20b", "Arc B580", GenerationClass.ARC, True),
        ("7d55", "Arc Graphics (Meteor Lake)", GenerationClass.ARC, False),
        ("46d0", "Alder Lake-N", GenerationClass.XE_LP, False),
        ("4905", "DG1", GenerationClass.XE_LP, True),
        ("3e92", "UHD Graphics 630", GenerationClass.LEGACY, False),
        ("0412", "Haswell", GenerationClass.LEGACY, False),
        ("1616", "Broadwell", GenerationClass.LEGACY, False),
    ],
)
def test_known_gpus_are_told_apart(pci_id: str, name: str, generation_class: GenerationClass, discrete: bool) -> None:
    """A GPU of each class is named, classed and known to be discrete or not."""
    gpu = lookup(pci_id)
    assert (gpu.name, gpu.generation_class, gpu.discrete) == (name, generation_class, discrete)


@pytest.mark.parametrize("written", ["56a0", "56A0", "0x56a0", "8086:56A0", "0x8086:0x56a0", " 0x56a0\n"])
def test_every_way_a_node_writes_an_id_is_read(written: str) -> None:
    """sysfs, uevent and lspci write the same id differently."""
    assert lookup(written).pci_id == "56a0"


@pytest.mark.parametrize("written", ["ffff", "", "10de:56a0", "Arc A770"])
def test_what_the_table_lacks_is_unknown(written: str) -> None:
    """A new id, no id and another vendor's id are unknown, and keep what was asked for."""
    gpu = lookup(written)
    assert (gpu.generation_class, gpu.pci_id) == (GenerationClass.UNKNOWN, written)


def test_ip_version_is_no_measure_of_arc() -> None:
    """A UHD of 12.00 is no Arc, and the A770 is below 12.7: the class is membership of a set."""
    assert lookup("4680").ip_version == 1200
    assert lookup("4680").generation_class != GenerationClass.ARC
    assert lookup("56a0").ip_version == 1255


def test_no_id_stands_twice() -> None:
    """One id is one platform."""
    assert len(IDS) == len(set(IDS))


@pytest.mark.parametrize("platform", DOCUMENT["platform"], ids=lambda platform: platform["name"])
def test_names_belong_to_ids_of_their_platform(platform: dict[str, object]) -> None:
    """A product's name hangs on an id that the platform lists."""
    names = platform.get("names", {})
    assert isinstance(names, dict)
    assert set(names) <= set(str(platform["ids"]).split())


@pytest.mark.parametrize("platform", DOCUMENT["platform"], ids=lambda platform: platform["name"])
def test_what_a_platform_asks_of_the_kernel_can_be_compared(platform: dict[str, Any]) -> None:
    """A floor names a driver and two numbers; firmware is a file below one of the drivers' directories."""
    for driver, release in platform.get("kernel", {}).items():
        assert driver in DRIVERS
        assert re.fullmatch(r"\d+\.\d+", release)
    assert platform.get("firmware", "xe/").partition("/")[0] in DRIVERS


@pytest.mark.parametrize(
    ("pci_id", "kernel", "firmware"),
    [
        ("56a0", {"i915": "6.2"}, "i915/dg2_guc_70.bin"),
        ("e20b", {"xe": "6.12"}, "xe/bmg_guc_70.bin"),
        ("64a0", {"xe": "6.12"}, "xe/lnl_guc_70.bin"),
        ("b080", {"xe": "6.17"}, "xe/ptl_guc_70.bin"),
        ("7d55", {}, "i915/mtl_guc_70.bin"),
        ("9a49", {}, None),
    ],
)
def test_kernel_and_firmware_are_known_by_platform(pci_id: str, kernel: dict[str, str], firmware: str | None) -> None:
    """What no source says is absent."""
    assert (lookup(pci_id).kernel, lookup(pci_id).firmware) == (kernel, firmware)


@given(st.text())
def test_lookup_accepts_any_text(written: str) -> None:
    """Whatever a node says, the answer is a GPU."""
    assert isinstance(lookup(written).generation_class, GenerationClass)


@given(st.sampled_from(IDS), st.sampled_from(["{}", "0x{}", "8086:{}"]), st.booleans())
def test_every_id_of_the_table_is_found(pci_id: str, form: str, lower: bool) -> None:
    """No row of the table is out of reach."""
    written = form.format(pci_id.lower() if lower else pci_id)
    assert lookup(written).generation_class != GenerationClass.UNKNOWN

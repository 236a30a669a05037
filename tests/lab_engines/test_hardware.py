"""The trees that stand for GPUs."""

from pathlib import Path

import pytest

from ipex_node.fitness.gpus import GenerationClass, lookup
from lab import hardware


def displays(sysfs: Path) -> dict[str, str]:
    """Return Intel's display devices as a node would find them: PCI address to device id."""
    return {
        device.name: (device / "device").read_text().strip()
        for device in sorted((sysfs / "bus/pci/devices").iterdir())
        if (device / "vendor").read_text().strip() == "0x8086" and (device / "class").read_text().startswith("0x03")
    }


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        ("a770-i915", [GenerationClass.ARC]),
        ("flex-170", [GenerationClass.ARC]),
        ("b580-xe", [GenerationClass.ARC]),
        ("b580-xe-6.12", [GenerationClass.ARC]),
        ("meteor-lake-igpu", [GenerationClass.ARC]),
        ("uhd630-legacy", [GenerationClass.LEGACY]),
        ("no-gpu", []),
        ("no-driver", [GenerationClass.ARC]),
        ("unknown-id", [GenerationClass.UNKNOWN]),
        ("two-gpus", [GenerationClass.ARC, GenerationClass.ARC]),
    ],
)
def test_kinds_are_what_they_are_called(tmp_path: Path, kind: str, classes: list[GenerationClass]) -> None:
    """Each kind has the GPUs of its name, and no other display device of Intel's."""
    hardware.write(tmp_path, kind)
    assert [lookup(device).generation_class for device in displays(tmp_path / "sysfs").values()] == classes


@pytest.mark.parametrize("kind", hardware.KINDS)
def test_links_are_relative_and_lead_somewhere(tmp_path: Path, kind: str) -> None:
    """The tree can be moved into a node and stays whole."""
    hardware.write(tmp_path / "made", kind)
    moved = (tmp_path / "made").rename(tmp_path / "moved")
    links = [path for path in moved.rglob("*") if path.is_symlink()]
    assert links
    assert all(link.resolve().is_relative_to(moved) and link.exists() for link in links)


@pytest.mark.parametrize(
    ("node", "driver", "sensors"), [("gpu-01", "i915", True), ("gpu-02", "xe", True), ("gpu-03", "i915", False)]
)
def test_lab_nodes_have_their_gpus(tmp_path: Path, node: str, driver: str, sensors: bool) -> None:
    """The three nodes differ in driver, and an integrated GPU has no sensors."""
    hardware.install(tmp_path, node)
    device = tmp_path / "lab/sysfs/class/drm/renderD128/device"
    assert (device / "driver").resolve().name == driver
    assert {path.read_text() for path in device.glob("hwmon/hwmon*/name")} == ({f"{driver}\n"} if sensors else set())


def test_driver_that_is_missing_leaves_no_drm(tmp_path: Path) -> None:
    """Without a bound driver there is a PCI device and no card."""
    hardware.write(tmp_path, "no-driver")
    assert not (tmp_path / "sysfs/class/drm").exists()
    assert not (tmp_path / "sysfs/bus/pci/devices/0000:03:00.0/driver").exists()


def test_node_of_another_role_has_no_gpu(tmp_path: Path) -> None:
    """A gateway is a machine without an Intel GPU, and with memory."""
    hardware.install(tmp_path, "gateway-01")
    assert displays(tmp_path / "lab/sysfs") == {}
    assert (tmp_path / "lab/proc/meminfo").read_text().startswith("MemTotal:")


@pytest.mark.parametrize("kind", hardware.KINDS)
def test_gpus_have_users(tmp_path: Path, kind: str) -> None:
    """Each engine holds the render node of every GPU that has a driver, and names it by its address."""
    hardware.write(tmp_path, kind)
    slots = {card.slot for card in hardware.KINDS[kind] if card.driver}
    for pid in ("1201", "1313") if slots else ():
        said = "\n".join(path.read_text() for path in (tmp_path / "proc" / pid / "fdinfo").iterdir())
        assert {line.split()[1] for line in said.splitlines() if line.startswith("drm-pdev")} == slots
    assert (tmp_path / "proc/1201").exists() == bool(slots)

"""What sysfs says of GPUs."""

from pathlib import Path

import pytest

from ipex_node.gpu import cards, sensors

I915 = {
    "device/vendor": "0x8086",
    "device/uevent": "DRIVER=i915\nPCI_ID=8086:56A0\nPCI_SLOT_NAME=0000:03:00.0",
    "device/hwmon/hwmon4/name": "i915",
    "device/hwmon/hwmon4/energy1_input": "81234567890",
    "device/hwmon/hwmon4/power1_max": "190000000",
    "device/hwmon/hwmon4/temp1_input": "52000",
    "device/hwmon/hwmon4/fan1_input": "1180",
    "device/hwmon/hwmon5/name": "i915_gt0",
    "device/hwmon/hwmon5/energy1_input": "5000000",
    "gt/gt0/rps_act_freq_mhz": "1200",
    "gt/gt0/rc6_residency_ms": "8412",
    "gt/gt0/throttle_reason_status": "1",
    "gt/gt0/throttle_reason_thermal": "1",
}
XE = {
    "device/vendor": "0x8086",
    "device/uevent": "DRIVER=xe\nPCI_ID=8086:E20B\nPCI_SLOT_NAME=0000:03:00.0",
    "device/hwmon/hwmon2/name": "xe",
    "device/hwmon/hwmon2/energy2_input": "41000000",
    "device/hwmon/hwmon2/energy2_label": "pkg",
    "device/hwmon/hwmon2/temp3_input": "54000",
    "device/hwmon/hwmon2/temp3_label": "vram",
    "device/tile0/gt1/freq0/act_freq": "1450",
    "device/tile0/gt1/gtidle/idle_residency_ms": "7204",
    "device/tile0/gt1/freq0/throttle/reasons": "pl1 thermal",
    "device/tile0/gt1/freq0/throttle/reason_pl1": "0",
    "device/tile0/gt1/freq0/throttle/reason_prochot": "0",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    """Write a card's files and return the root of its sysfs."""
    for name, content in files.items():
        path = root / "class/drm/card0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def read(sysfs: Path) -> dict[tuple[str, ...], float]:
    """Return samples by family and their labels but for the card's."""
    return {
        (one.family, *(value for name, value in one.labels.items() if name != "gpu")): one.value
        for card in cards.listed(sysfs)
        for one in (card.info(), *sensors.samples(card))
    }


def test_i915_card(tmp_path: Path) -> None:
    """Energy, temperature, fan, clock, sleep and throttling of a card on i915, in base units."""
    assert read(tree(tmp_path, I915)) == pytest.approx(
        {
            ("ipex_gpu_info", "8086:56a0", "0000:03:00.0", "i915"): 1,
            ("ipex_gpu_energy_joules_total", "card"): 81234.56789,
            ("ipex_gpu_energy_joules_total", "gt0"): 5,
            ("ipex_gpu_power_limit_watts", "card"): 190,
            ("ipex_gpu_temperature_celsius", "pkg"): 52,
            ("ipex_gpu_fan_rpm", "fan1"): 1180,
            ("ipex_gpu_frequency_hertz", "gt0"): 1.2e9,
            ("ipex_gpu_idle_seconds_total", "gt0"): 8.412,
            ("ipex_gpu_throttled", "gt0", "thermal"): 1,
        }
    )


def test_xe_card(tmp_path: Path) -> None:
    """The xe driver's labels name its sensors, and its `reasons` are believed before the single files."""
    assert read(tree(tmp_path, XE)) == pytest.approx(
        {
            ("ipex_gpu_info", "8086:e20b", "0000:03:00.0", "xe"): 1,
            ("ipex_gpu_energy_joules_total", "pkg"): 41,
            ("ipex_gpu_temperature_celsius", "vram"): 54,
            ("ipex_gpu_frequency_hertz", "gt1"): 1.45e9,
            ("ipex_gpu_idle_seconds_total", "gt1"): 7.204,
            ("ipex_gpu_throttled", "gt1", "pl1"): 1,
            ("ipex_gpu_throttled", "gt1", "prochot"): 0,
        }
    )


@pytest.mark.parametrize(
    ("change", "family"),
    [
        ({"device/vendor": "0x1002"}, "ipex_gpu_info"),
        ({"device/hwmon/hwmon4/temp1_input": ""}, "ipex_gpu_temperature_celsius"),
        ({"device/hwmon/hwmon4/temp1_input": "-300000"}, "ipex_gpu_temperature_celsius"),
        ({"device/hwmon/hwmon4/power1_max": "0"}, "ipex_gpu_power_limit_watts"),
        ({"device/hwmon/hwmon4/fan1_input": "nan"}, "ipex_gpu_fan_rpm"),
        ({"gt/gt0/rc6_residency_ms": "-1"}, "ipex_gpu_idle_seconds_total"),
    ],
)
def test_what_is_not_there_is_absent(tmp_path: Path, change: dict[str, str], family: str) -> None:
    """Another maker's card, a disabled limit, or a sensor that says nothing or what cannot be, yields no 0."""
    assert family in {name for name, *_ in read(tree(tmp_path / "whole", I915))}
    assert family not in {name for name, *_ in read(tree(tmp_path / "changed", I915 | change))}


@pytest.mark.parametrize(("driver", "there"), [("i915", True), ("", False)])
def test_gpu_is_there_with_its_driver_alone(tmp_path: Path, driver: str, there: bool) -> None:
    """Without a driver the kernel shows a PCI device and no card."""
    assert cards.are_there(tree(tmp_path, I915) if driver else tmp_path) == there

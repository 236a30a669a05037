"""The metrics of the fleet: one row per family; agent, alerts, panels and the reference page read it here."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One family of metrics.

    Attributes:
        name: Prometheus' name, with the base unit in it.
        kind: Prometheus' type; an information metric is a gauge that is always 1.
        help: What it means, as the exposition says it.
        source: Where the number comes from.
        labels: Names of its labels.
    """

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    source: str
    labels: tuple[str, ...] = ()


# Sensors a machine does not have are absent, never 0: an integrated GPU has no energy, temperature or fan.
METRICS = (
    Metric(
        "ipex_node_info",
        "gauge",
        "The node, its environment and its current generation.",
        "node.json and /var/lib/ipex/current",
        ("node", "environment", "generation"),
    ),
    Metric(
        "ipex_node_in_rotation",
        "gauge",
        "1 while the node is ready to be given requests, as /ready says.",
        "the agent",
    ),
    Metric(
        "ipex_service_up",
        "gauge",
        "1 while the service's API answers 200.",
        "the service's health_path, asked by the agent",
        ("service",),
    ),
    Metric(
        "ipex_gpu_info",
        "gauge",
        "An Intel GPU with a kernel driver.",
        "sysfs: class/drm/card*/device/uevent",
        ("gpu", "pci_id", "pci_slot", "driver"),
    ),
    Metric(
        "ipex_gpu_energy_joules_total",
        "counter",
        "Energy used since the driver was loaded; its rate is power in watts.",
        "sysfs: hwmon energy*_input, microjoules",
        ("gpu", "sensor"),
    ),
    Metric(
        "ipex_gpu_temperature_celsius",
        "gauge",
        "Temperature of a part of the GPU.",
        "sysfs: hwmon temp*_input, thousandths of a degree",
        ("gpu", "sensor"),
    ),
    # Revolutions per minute, as everybody reads a fan and as node_exporter has it; hertz would be the base unit.
    Metric(
        "ipex_gpu_fan_rpm",
        "gauge",
        "Speed of a fan, in revolutions per minute.",
        "sysfs: hwmon fan*_input",
        ("gpu", "sensor"),
    ),
    Metric(
        "ipex_gpu_frequency_hertz",
        "gauge",
        "Actual frequency of a GT; 0 while it sleeps.",
        "sysfs: i915 gt/gt*/rps_act_freq_mhz, xe tile*/gt*/freq0/act_freq",
        ("gpu", "gt"),
    ),
    # Awake and not busy: a GT that waits between two kernels is awake. A counter, so that no reader needs state.
    Metric(
        "ipex_gpu_idle_seconds_total",
        "counter",
        "Time a GT has slept; 1 minus its rate is the share of time it was awake.",
        "sysfs: i915 gt/gt*/rc6_residency_ms, xe tile*/gt*/gtidle/idle_residency_ms",
        ("gpu", "gt"),
    ),
    Metric(
        "ipex_gpu_throttled",
        "gauge",
        "1 while the GT runs slower for this reason.",
        "sysfs: i915 gt/gt*/throttle_reason_*, xe tile*/gt*/freq0/throttle",
        ("gpu", "gt", "reason"),
    ),
)

"""Alerts about GPUs."""

from collections import defaultdict
from collections.abc import Iterator

from fleet.alerts.alert import Alert
from fleet.model import Fleet

ROWS = (
    Alert(
        "GpuTemperatureHigh",
        "ticket",
        "max by (node, gpu, sensor) (ipex_gpu_temperature_celsius) > <gpu_celsius>",
        "The sensor {{ $labels.sensor }} of {{ $labels.gpu }} on {{ $labels.node }} says {{ $value }} °C.",
        "<down_for>",
    ),
    # Power limits (pl1, pl2, pl4) are met at every full load, and are no fault.
    Alert(
        "GpuThrottled",
        "ticket",
        "max by (node, gpu, reason)"
        ' (avg_over_time(ipex_gpu_throttled{reason=~"thermal|prochot|ratl|vr_thermalert|vr_tdc"}[15m]))'
        " > <gpu_throttled_share>",
        "{{ $labels.gpu }} on {{ $labels.node }} is slowed down ({{ $labels.reason }}) most of the time.",
    ),
    Alert(
        "GpuReset",
        "ticket",
        "sum by (node, gpu, kind) (increase(ipex_gpu_resets_total[1h])) > 0",
        "{{ $labels.gpu }} on {{ $labels.node }}: the kernel has recorded a {{ $labels.kind }}.",
    ),
    Alert(
        "RebootNeeded",
        "ticket",
        "max by (node) (ipex_node_reboot_needed) == 1",
        "{{ $labels.node }} stays out of rotation until it is rebooted: a GPU is wedged, or was reset twice.",
    ),
    Alert(
        "GpuResidencyLost",
        "ticket",
        "min by (node, service) (ipex_model_gpu_bytes / (ipex_model_size_bytes > 0)) < 1"
        ' or max by (node, service) (ipex_service_devices{kind="cpu"}) > 0'
        ' unless on (node, service) ipex_service_devices{kind="xpu"} > 0',
        "{{ $labels.service }} on {{ $labels.node }} computes on the processor, at least in part.",
        "<ill_for>",
    ),
    Alert(
        "GpuMemoryHigh",
        "ticket",
        "ipex:memory_usage:ratio > <gpu_memory_share>",
        "{{ $value | humanizePercentage }} of the memory of {{ $labels.gpu }} on {{ $labels.node }} is in use.",
        "<odd_for>",
    ),
    Alert(
        "MeasuresSilent",
        "ticket",
        'max by (node, source) (ipex_metrics_absent{source=~"gpu|traffic|status"}) == 1',
        "ipex-{{ $labels.source }} on {{ $labels.node }} leaves no numbers.",
        "<odd_for>",
    ),
)


def missing(fleet: Fleet) -> Iterator[Alert]:
    """Yield an alert for each number of GPUs that nodes are declared to have."""
    owners = defaultdict[int, list[str]](list)
    for node in fleet.with_role("gpu_nodes"):
        owners[node.gpus].append(node.name)
    for number, names in sorted(owners.items()):
        nodes = f'node=~"{"|".join(sorted(names))}"'
        yield Alert(
            "GpuMissing",
            "ticket",
            f"(count by (node) (ipex_gpu_info{{{nodes}}})"
            f' or 0 * max by (node) (up{{job="ipex",{nodes}}} == 1))'
            f' < {number} unless on (node) ipex_metrics_absent{{source="gpu"}}',
            f"{{{{ $labels.node }}}} shows {{{{ $value }}}} of its {number} Intel GPUs.",
            "<down_for>",
            {"expected": str(number)},
        )

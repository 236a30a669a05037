"""What a machine must be, and where it keeps what is read of it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Requirements:
    """What a node must be before anything is installed on it.

    Attributes:
        distributions: `ID:VERSION_ID` pairs of /etc/os-release.
        memory_gb: installed memory in GB below which a warning is given.
    """

    distributions: tuple[str, ...]
    memory_gb: int


@dataclass(frozen=True)
class Agent:
    """The node's own agent: readiness and metrics."""

    port: int


@dataclass(frozen=True)
class Metrics:
    """How often is measured.

    Attributes:
        gpu_seconds: between two looks at the GPUs.
        traffic_seconds: between two looks at the engines' traffic.
        status_seconds: between two looks at the node's own state.
        duration_buckets: upper bounds in seconds of the histogram of requests' durations, ascending.
        silent_seconds: source to the time without news after which it counts as silent; each source leaves its
            numbers in /run/ipex-SOURCE/samples.json.
    """

    gpu_seconds: int
    traffic_seconds: int
    status_seconds: int
    duration_buckets: tuple[int | float, ...]
    silent_seconds: Mapping[str, int]


@dataclass(frozen=True)
class NodeExporter:
    """Debian's node_exporter."""

    port: int


@dataclass(frozen=True)
class Prometheus:
    """The Prometheus server; durations and sizes in Prometheus' own spelling."""

    port: int
    scrape_interval: str
    evaluation_interval: str
    retention_time: str
    retention_size: str


@dataclass(frozen=True)
class Blackbox:
    """Debian's blackbox_exporter, which asks the gateways as a user would."""

    port: int


@dataclass(frozen=True)
class Paths:
    """Where a node keeps what the kernel tells of its hardware.

    Attributes:
        sysfs: the root of sysfs.
        procfs: the root of procfs.
        kernel_log: the kernel's log: its device, or a plain file of the same form.
        render_node: the GPU's device that the engines open, waited for before they start; None starts them at once.
    """

    sysfs: str
    procfs: str
    kernel_log: str
    render_node: str | None = None

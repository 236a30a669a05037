"""For each alert what fires it, and what looks much like it and does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Series = Mapping[str, str]
"""A series to its values, in the notation of promtool: 1x5 is 1 and then five times the same, 0+2x5 rises by 2."""

GPU = 'node="gpu-01"'
GATEWAY = 'node="gateway-01"'
MONITOR = 'node="monitor-01"'
DISK = f'{GPU},device="/dev/sda1",mountpoint="/"'
CARD = f'{GPU},gpu="card0"'


@dataclass(frozen=True)
class Case:
    """One alert's proof.

    Attributes:
        alert: Its name.
        fires: With these series it fires once.
        silent: With these it does not.
        at: When that is asked.
        labels: What the alert has then, beside severity and its own labels.
        value: What stands for `{{ $value … }}` in its sentence.
        own: Its own labels, where several alerts have this name.
        step: Between two samples, and between two evaluations.
    """

    alert: str
    fires: Series
    silent: Series
    at: str = "10m"
    labels: Mapping[str, str] = field(default_factory=dict)
    value: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    step: str = "1m"


def ups(jobs: Mapping[str, int], value: str = "1x60") -> Series:
    """So many targets of each job, all the same."""
    return {f'up{{job="{job}",node="n-{place}"}}': value for job, number in jobs.items() for place in range(number)}


def serving(service: str, up: int, of: int = 3, rotation: str = "1x60") -> Series:
    """So many nodes that serve."""
    series = {f'ipex_service_up{{service="{service}",node="g-{n}"}}': f"{int(n < up)}x60" for n in range(of)}
    return {**series, **{f'ipex_node_in_rotation{{node="g-{n}"}}': rotation for n in range(of)}}


MACHINES = (
    Case(
        "NodeDown",
        {f'up{{job="ipex",{GPU}}}': "1x4 0x10", f'up{{job="node",{GPU}}}': "1x4 0x10"},
        {f'up{{job="ipex",{GPU}}}': "0x20", f'up{{job="node",{GPU}}}': "1x20"},
        labels={"node": "gpu-01"},
    ),
    Case(
        "AgentDown",
        {f'up{{job="ipex",{GPU}}}': "0x20", f'up{{job="node",{GPU}}}': "1x20"},
        {f'up{{job="ipex",{GPU}}}': "0x20", f'up{{job="node",{GPU}}}': "0x20"},
        labels={"node": "gpu-01"},
    ),
    Case(
        "ExporterDown",
        {f'up{{job="ipex",{GATEWAY}}}': "1x20", f'up{{job="nginx",{GATEWAY}}}': "0x20"},
        {f'up{{job="ipex",{GATEWAY}}}': "0x20", f'up{{job="nginx",{GATEWAY}}}': "0x20"},
        labels={"node": "gateway-01", "job": "nginx"},
    ),
    Case(
        "DiskFull",
        {f"node_filesystem_avail_bytes{{{DISK}}}": "5x20", f"node_filesystem_size_bytes{{{DISK}}}": "100x20"},
        {
            f"node_filesystem_avail_bytes{{{DISK}}}": "9x20",
            f"node_filesystem_size_bytes{{{DISK}}}": "100x20",
            f'node_filesystem_avail_bytes{{{GPU},device="tmpfs",mountpoint="/run"}}': "0x20",
            f'node_filesystem_size_bytes{{{GPU},device="tmpfs",mountpoint="/run"}}': "9x20",
        },
        labels={"node": "gpu-01", "device": "/dev/sda1"},
        value="95%",
    ),
    Case(
        "DiskFillsSoon",
        # 1 of 100 each ten minutes: 45 are left after 55 steps, gone in under eight hours.
        {f"node_filesystem_avail_bytes{{{DISK}}}": "100-1x60", f"node_filesystem_size_bytes{{{DISK}}}": "100x60"},
        {f"node_filesystem_avail_bytes{{{DISK}}}": "49x60", f"node_filesystem_size_bytes{{{DISK}}}": "100x60"},
        at="9h40m",
        labels={"node": "gpu-01", "device": "/dev/sda1"},
        step="10m",
    ),
    Case(
        "DiskFillsSoon",
        {f"node_filesystem_avail_bytes{{{DISK}}}": "100-1x60", f"node_filesystem_size_bytes{{{DISK}}}": "100x60"},
        # As fast, but there is much room yet.
        {f"node_filesystem_avail_bytes{{{DISK}}}": "300-1x60", f"node_filesystem_size_bytes{{{DISK}}}": "400x60"},
        at="9h40m",
        labels={"node": "gpu-01", "device": "/dev/sda1"},
        step="10m",
    ),
    Case(
        "DiskFillsSoon",
        {f"node_filesystem_avail_bytes{{{DISK}}}": "49-0.5x60", f"node_filesystem_size_bytes{{{DISK}}}": "100x60"},
        # A node that is two hours old, and had its models downloaded.
        {
            f"node_filesystem_avail_bytes{{{DISK}}}": "_x44 49-5x3 34x20",
            f"node_filesystem_size_bytes{{{DISK}}}": "100x60",
        },
        at="9h40m",
        labels={"node": "gpu-01", "device": "/dev/sda1"},
        step="10m",
    ),
    Case(
        "InodesLow",
        {f"node_filesystem_files_free{{{DISK}}}": "5x60", f"node_filesystem_files{{{DISK}}}": "100x60"},
        # btrfs and others count none.
        {f"node_filesystem_files_free{{{DISK}}}": "0x60", f"node_filesystem_files{{{DISK}}}": "0x60"},
        at="40m",
        labels={"node": "gpu-01", "device": "/dev/sda1"},
        value="95%",
    ),
    Case(
        "MemoryLow",
        {f"node_memory_MemAvailable_bytes{{{GPU}}}": "4x60", f"node_memory_MemTotal_bytes{{{GPU}}}": "100x60"},
        {f"node_memory_MemAvailable_bytes{{{GPU}}}": "9x60", f"node_memory_MemTotal_bytes{{{GPU}}}": "100x60"},
        at="40m",
        labels={"node": "gpu-01"},
        value="96%",
    ),
    Case(
        "OomKill",
        {f"node_vmstat_oom_kill{{{GPU}}}": "7x5 8x10"},
        {f"node_vmstat_oom_kill{{{GPU}}}": "7x20"},
        labels={"node": "gpu-01"},
    ),
    Case(
        "ClockSkew",
        {f"node_timex_offset_seconds{{{GPU}}}": "-0.7x60"},
        # For a moment without a server, but right.
        {
            f"node_timex_offset_seconds{{{GPU}}}": "0.1x60",
            f"node_timex_sync_status{{{GPU}}}": "0x60",
            f"node_timex_maxerror_seconds{{{GPU}}}": "0.5x60",
        },
        at="40m",
        labels={"node": "gpu-01"},
    ),
    Case(
        "ClockSkew",
        {
            f"node_timex_offset_seconds{{{GPU}}}": "0x60",
            f"node_timex_sync_status{{{GPU}}}": "0x60",
            f"node_timex_maxerror_seconds{{{GPU}}}": "16x60",
        },
        {f"node_timex_offset_seconds{{{GPU}}}": "0.7x5 0x60"},
        at="40m",
        labels={"node": "gpu-01"},
    ),
    Case(
        "UnitFailed",
        {f'node_systemd_unit_state{{{GPU},name="ipex-gpu.service",state="failed"}}': "1x20"},
        {
            f'node_systemd_unit_state{{{GPU},name="ipex-gpu.service",state="active"}}': "1x20",
            f'node_systemd_unit_state{{{GPU},name="ipex-health-monitor.service",state="failed"}}': "1x20",
        },
        labels={"node": "gpu-01", "name": "ipex-gpu.service"},
    ),
    Case(
        "NodesDiffer",
        {
            'node_uname_info{node="gpu-01",roles="gpu_nodes",release="6.12"}': "1x40",
            'node_uname_info{node="gpu-02",roles="gpu_nodes",release="6.18"}': "1x40",
        },
        {
            'node_uname_info{node="gpu-01",roles="gpu_nodes",release="6.12"}': "1x40",
            'node_uname_info{node="gpu-02",roles="gpu_nodes",release="6.12"}': "1x40",
            'node_uname_info{node="gateway-01",roles="gateways",release="6.18"}': "1x40",
        },
        at="30h",
        value="2",
        step="1h",
    ),
)

CHANGES = (
    Case(
        "NodeInTransaction",
        {f'ipex_node_left_out{{{GPU},by="operator"}}': "0x20", f'ipex_node_left_out{{{GPU},by="change"}}': "1x20"},
        {f'ipex_node_left_out{{{GPU},by="operator"}}': "0x20", f'ipex_node_left_out{{{GPU},by="change"}}': "0x20"},
        labels={"node": "gpu-01"},
    ),
    Case(
        "DrainTooLong",
        {f'ipex_node_left_out{{{GPU},by="operator"}}': "1x40"},
        # Taken back in between, and drained again.
        {f'ipex_node_left_out{{{GPU},by="operator"}}': "1x15 0x1 1x40"},
        at="5h",
        labels={"node": "gpu-01", "by": "operator"},
        step="10m",
    ),
    Case(
        "GenerationDrift",
        {f'ipex_node_drift{{{GPU},what="file"}}': "2x60", f'ipex_node_drift{{{GPU},what="unit"}}': "1x60"},
        {f'ipex_node_drift{{{GPU},what="file"}}': "0x60", f'ipex_node_drift{{{GPU},what="unit"}}': "0x60"},
        at="40m",
        labels={"node": "gpu-01"},
        value="3",
    ),
    Case(
        "Quarantined",
        {f"ipex_node_quarantined_generations{{{GPU}}}": "1x20 2x20"},
        {f"ipex_node_quarantined_generations{{{GPU}}}": "2x60"},
        at="30h",
        labels={"node": "gpu-01"},
        step="1h",
    ),
    Case(
        "UpdateTooOld",
        {f"ipex_node_last_update_timestamp_seconds{{{GPU}}}": "-5999400x20"},
        {f"ipex_node_last_update_timestamp_seconds{{{GPU}}}": "-5000000x20"},
        labels={"node": "gpu-01"},
        value="69d 10h 40m 0s",
    ),
    Case(
        "ReleasesDiffer",
        {
            'ipex_node_release_info{node="gpu-01",program="a",flake="f"}': "1x40",
            'ipex_node_release_info{node="gpu-02",program="a",flake="g"}': "1x40",
        },
        # A rollout, an hour between its waves, and a gateway that has nothing of the flake.
        {
            'ipex_node_release_info{node="gpu-01",program="a",flake="f"}': "1x40",
            'ipex_node_release_info{node="gpu-02",program="b",flake="g"}': "1x2 _x38",
            'ipex_node_release_info{node="gpu-02",program="a",flake="f"}': "_x2 1x38",
            'ipex_node_release_info{node="gateway-01",program="a",flake=""}': "1x40",
        },
        at="30h",
        value="2",
        step="1h",
    ),
    Case(
        "ReleasesDiffer",
        {
            'ipex_node_release_info{node="gpu-01",program="a",flake="f"}': "1x40",
            'ipex_node_release_info{node="gateway-01",program="b",flake=""}': "1x40",
        },
        {'ipex_node_release_info{node="gpu-01",program="a",flake="f"}': "1x40"},
        at="30h",
        value="2",
        step="1h",
    ),
    Case(
        "BackupTooOld",
        {
            f'ipex_backup_last_success_timestamp_seconds{{{GPU},backup="models"}}': "-172900x20",
            f'ipex_backup_last_success_timestamp_seconds{{{GPU},backup="workflows"}}': "0x20",
        },
        {f'ipex_backup_last_success_timestamp_seconds{{{GPU},backup="models"}}': "-100000x20"},
        labels={"node": "gpu-01", "backup": "models"},
        value="2d 0h 11m 40s",
    ),
    Case(
        "BackupFailed",
        {f'ipex_backup_failed{{{GPU},backup="models"}}': "0x5 1x10"},
        # Tried again, and made.
        {f'ipex_backup_failed{{{GPU},backup="models"}}': "0x2 1x3 0x10"},
        labels={"node": "gpu-01", "backup": "models"},
    ),
    Case(
        "ReleaseSlower",
        {f'ipex_baseline_regressed{{{GPU},service="ollama",model="tinyllama"}}': "0x3 1x10"},
        # Measured again, and as fast as before.
        {f'ipex_baseline_regressed{{{GPU},service="ollama",model="tinyllama"}}': "1x5 0x10"},
        labels={"node": "gpu-01", "service": "ollama", "model": "tinyllama"},
    ),
    Case(
        "OptimizerFailed",
        {f'ipex_optimizer_failed{{{GPU},task="caches"}}': "1x60"},
        # Failed once, and done since.
        {f'ipex_optimizer_failed{{{GPU},task="caches"}}': "1x5 0x60"},
        at="40m",
        labels={"node": "gpu-01", "task": "caches"},
    ),
    Case(
        "BackupRotten",
        {f"ipex_backup_verify_failures{{{GPU}}}": "0x5 1x10"},
        # Mended, and read again.
        {f"ipex_backup_verify_failures{{{GPU}}}": "0x2 1x3 0x10"},
        labels={"node": "gpu-01"},
        value="1",
    ),
    Case(
        "RestoreTestFailed",
        {f"ipex_backup_restore_test_failed{{{GPU}}}": "0x5 1x10"},
        {f"ipex_backup_restore_test_failed{{{GPU}}}": "0x2 1x3 0x10"},
        labels={"node": "gpu-01"},
    ),
    Case(
        "RestoreTestTooOld",
        {f"ipex_backup_restore_test_timestamp_seconds{{{GPU}}}": "-3456100x20"},
        {f"ipex_backup_restore_test_timestamp_seconds{{{GPU}}}": "-3400000x20"},
        labels={"node": "gpu-01"},
        value="40d 0h 11m 40s",
    ),
)

GPUS = (
    Case(
        "GpuTemperatureHigh",
        {f'ipex_gpu_temperature_celsius{{{CARD},sensor="vram"}}': "91x20"},
        {f'ipex_gpu_temperature_celsius{{{CARD},sensor="vram"}}': "85x20"},
        labels={"node": "gpu-01", "gpu": "card0", "sensor": "vram"},
        value="91",
    ),
    Case(
        "GpuThrottled",
        {f'ipex_gpu_throttled{{{CARD},gt="gt0",reason="thermal"}}': "1x40"},
        {
            f'ipex_gpu_throttled{{{CARD},gt="gt0",reason="thermal"}}': "1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0",
            f'ipex_gpu_throttled{{{CARD},gt="gt0",reason="pl1"}}': "1x40",
        },
        at="20m",
        labels={"node": "gpu-01", "gpu": "card0", "reason": "thermal"},
    ),
    Case(
        "GpuReset",
        {f'ipex_gpu_resets_total{{{CARD},kind="hang"}}': "3x20 4x20"},
        {f'ipex_gpu_resets_total{{{CARD},kind="hang"}}': "3x60"},
        at="30m",
        labels={"node": "gpu-01", "gpu": "card0", "kind": "hang"},
    ),
    Case(
        "RebootNeeded",
        {f"ipex_node_reboot_needed{{{GPU}}}": "1x20"},
        {f"ipex_node_reboot_needed{{{GPU}}}": "0x20"},
        labels={"node": "gpu-01"},
    ),
    Case(
        "UpdateNotTaken",
        {
            f'ipex_update_outcome{{{GPU},outcome="depot"}}': "1x60",
            f'ipex_update_outcome{{{GPU},outcome="done"}}': "0x60",
        },
        {
            f'ipex_update_outcome{{{GPU},outcome="depot"}}': "0x60",
            f'ipex_update_outcome{{{GPU},outcome="done"}}': "1x60",
        },
        at="30m",
        labels={"node": "gpu-01", "outcome": "depot"},
    ),
    Case(
        "PublicationExpired",
        {f"ipex_update_offer_expires_timestamp_seconds{{{GPU}}}": "600x60"},
        {f"ipex_update_offer_expires_timestamp_seconds{{{GPU}}}": "999999x60"},
        at="30m",
        value="20m 0s",
        labels={"node": "gpu-01"},
    ),
    Case(
        "RebootPending",
        {f"ipex_node_reboot_reasons{{{GPU}}}": "1x40", f"ipex_node_reboot_needed{{{GPU}}}": "0x40"},
        {f"ipex_node_reboot_reasons{{{GPU}}}": "1x40", f"ipex_node_reboot_needed{{{GPU}}}": "1x40"},
        at="30h",
        labels={"node": "gpu-01"},
        step="1h",
    ),
    Case(
        "GpuResidencyLost",
        {
            f'ipex_model_size_bytes{{{GPU},service="ollama",model="a"}}': "100x60",
            f'ipex_model_gpu_bytes{{{GPU},service="ollama",model="a"}}': "60x60",
        },
        {
            f'ipex_model_size_bytes{{{GPU},service="ollama",model="a"}}': "100x60",
            f'ipex_model_gpu_bytes{{{GPU},service="ollama",model="a"}}': "100x60",
        },
        at="30m",
        labels={"node": "gpu-01", "service": "ollama"},
    ),
    Case(
        "GpuResidencyLost",
        {f'ipex_service_devices{{{GPU},service="comfyui",kind="cpu"}}': "1x60"},
        {
            f'ipex_service_devices{{{GPU},service="comfyui",kind="cpu"}}': "1x60",
            f'ipex_service_devices{{{GPU},service="comfyui",kind="xpu"}}': "1x60",
        },
        at="30m",
        labels={"node": "gpu-01", "service": "comfyui"},
    ),
    Case(
        "GpuMemoryHigh",
        {
            f'ipex_gpu_memory_used_bytes{{{CARD},region="vram0"}}': "97x60",
            f'ipex_gpu_memory_total_bytes{{{CARD},region="vram0"}}': "100x60",
        },
        {
            f'ipex_gpu_memory_used_bytes{{{CARD},region="system"}}': "97x60",
            f'ipex_gpu_memory_used_bytes{{{CARD},region="vram0"}}': "80x60",
            f'ipex_gpu_memory_total_bytes{{{CARD},region="vram0"}}': "100x60",
        },
        at="40m",
        labels={"node": "gpu-01", "gpu": "card0"},
        value="97%",
    ),
    Case(
        "MeasuresSilent",
        {f'ipex_metrics_absent{{{GPU},source="gpu",reason="ipex-gpu has left nothing"}}': "1x60"},
        {f'ipex_metrics_absent{{{GPU},source="temperature",reason="no sensor"}}': "1x60"},
        at="40m",
        labels={"node": "gpu-01", "source": "gpu"},
    ),
    Case(
        "GpuMissing",
        {f'up{{job="ipex",{GPU}}}': "1x20"},
        {f'up{{job="ipex",{GPU}}}': "1x20", f"ipex_gpu_info{{{CARD}}}": "1x20"},
        labels={"node": "gpu-01"},
        value="0",
    ),
    Case(
        "GpuMissing",
        {f'up{{job="ipex",{GPU}}}': "1x20"},
        # Who looks for GPUs is silent: another alert says that.
        {f'up{{job="ipex",{GPU}}}': "1x20", f'ipex_metrics_absent{{{GPU},source="gpu",reason="silent"}}': "1x20"},
        labels={"node": "gpu-01"},
        value="0",
    ),
)

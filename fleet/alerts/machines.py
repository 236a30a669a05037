"""Alerts about machines, whatever they do in the fleet."""

from fleet.alerts.alert import Alert

# Memory that looks like a disk is no disk; what it is mounted on tells it, and the lab fills one of another kind.
_DISKS = 'mountpoint!~"/(run|dev)(/.*)?|/tmp"'

ROWS = (
    Alert(
        "NodeDown",
        "page",
        'max by (node) (up{job=~"ipex|node"}) == 0',
        "{{ $labels.node }} is silent: neither its agent nor its node_exporter answers.",
        "<down_for>",
    ),
    Alert(
        "AgentDown",
        "ticket",
        'max by (node) (up{job="ipex"}) == 0 and on (node) up{job="node"} == 1',
        "The agent of {{ $labels.node }} does not answer, so that gateways send the node nothing.",
        "<down_for>",
    ),
    Alert(
        "ExporterDown",
        "ticket",
        'min by (node, job) (up{job!="ipex"}) == 0 unless on (node) max by (node) (up{job=~"ipex|node"}) == 0',
        "{{ $labels.job }} on {{ $labels.node }} cannot be scraped: what it measures is unknown.",
        "<down_for>",
    ),
    Alert(
        "DiskFull",
        "page",
        f"1 - min by (node, device) (node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes{{{_DISKS}}})"
        " > <disk_share>",
        "{{ $labels.device }} of {{ $labels.node }} is {{ $value | humanizePercentage }} full.",
        "<down_for>",
    ),
    # A disk with much room is left alone, and one that is not known for long: one large download looks like a trend.
    Alert(
        "DiskFillsSoon",
        "ticket",
        f"min by (node, device) (predict_linear(node_filesystem_avail_bytes{{{_DISKS}}}[6h], <disk_ahead_seconds>)) < 0"
        f" and min by (node, device) (node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes{{{_DISKS}}})"
        f" < 0.5 and min by (node, device) (node_filesystem_avail_bytes{{{_DISKS}}} offset 5h)",
        "{{ $labels.device }} of {{ $labels.node }} will be full within <disk_ahead> if it goes on like this.",
        "<odd_for>",
    ),
    Alert(
        "InodesLow",
        "ticket",
        f"1 - min by (node, device) (node_filesystem_files_free{{{_DISKS}}} / (node_filesystem_files{{{_DISKS}}} > 0))"
        " > <inodes_share>",
        "{{ $labels.device }} of {{ $labels.node }} has used {{ $value | humanizePercentage }} of its inodes.",
        "<odd_for>",
    ),
    Alert(
        "MemoryLow",
        "ticket",
        "1 - min by (node) (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes) > <memory_share>",
        "{{ $value | humanizePercentage }} of the memory of {{ $labels.node }} is in use.",
        "<odd_for>",
    ),
    Alert(
        "OomKill",
        "ticket",
        "sum by (node) (increase(node_vmstat_oom_kill[15m])) > 0",
        "The kernel of {{ $labels.node }} has killed a process that wanted more memory than there is.",
    ),
    # 16 s is what the kernel says of a clock that nobody keeps: NTP_PHASE_LIMIT in its kernel/time/ntp.c.
    Alert(
        "ClockSkew",
        "ticket",
        "max by (node) (abs(node_timex_offset_seconds)) > <clock_seconds>"
        " or min by (node) (node_timex_sync_status) == 0 and max by (node) (node_timex_maxerror_seconds) >= 16",
        "The clock of {{ $labels.node }} is wrong, or nobody keeps it.",
        "<odd_for>",
    ),
    # The health monitor fails as long as an engine is ill, which EngineDown says better, and comes again all the same.
    Alert(
        "UnitFailed",
        "ticket",
        'max by (node, name) (node_systemd_unit_state{state="failed",name!="ipex-health-monitor.service"}) == 1',
        "{{ $labels.name }} on {{ $labels.node }} has failed.",
        "<down_for>",
    ),
    # What the health monitor asks for is RebootNeeded: that node serves nobody.
    Alert(
        "RebootPending",
        "ticket",
        "max by (node) (ipex_node_reboot_reasons) > 0 unless on (node) max by (node) (ipex_node_reboot_needed) == 1",
        "{{ $labels.node }} runs a kernel or libraries that have been replaced on its disk, until it reboots.",
        "<differ_for>",
    ),
    Alert(
        "NodesDiffer",
        "ticket",
        'count(count by (release) (node_uname_info{roles=~".*gpu_nodes.*"})) > 1',
        "The GPU nodes run {{ $value }} different kernels, and with them different drivers.",
        "<differ_for>",
    ),
)

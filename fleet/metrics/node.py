"""What each node says of itself: its agent, its own state, and its cleanup."""

from fleet.metrics.metric import Metric

ROWS = (
    Metric(
        "ipex_node_info",
        "gauge",
        "The node, its environment and its current generation.",
        "node.json and /var/lib/ipex/current",
        ("node", "environment", "generation"),
    ),
    Metric(
        "ipex_node_release_info",
        "gauge",
        "What nodes of one release share: the program's digest, and the pinned flake's where there is one.",
        "the current generation's manifest",
        ("program", "flake"),
    ),
    Metric(
        "ipex_node_in_rotation",
        "gauge",
        "1 while the node is ready to be given requests, as /ready says.",
        "the agent",
    ),
    Metric(
        "ipex_node_left_out",
        "gauge",
        "1 while the node wishes to be out of rotation: an operator has drained it, or a change of it goes on.",
        "files in /run/ipex, as /ready says",
        ("by",),
    ),
    Metric(
        "ipex_floating_address_held",
        "gauge",
        "1 on the gateway that holds the fleet's floating address, 0 on those that could take it.",
        "the kernel, asked by the agent",
        ("address",),
    ),
    Metric(
        "ipex_floating_address_able",
        "gauge",
        "1 on a gateway that could hold the floating address: its units run, and no operator has drained it.",
        "systemd's list of running units and /var/lib/ipex/drain, read by the agent",
        ("address",),
    ),
    Metric(
        "ipex_service_up",
        "gauge",
        "1 while the service's API answers 200.",
        "the service's health_path, asked by the agent",
        ("service",),
    ),
    Metric(
        "ipex_metrics_absent",
        "gauge",
        "1 where metrics of a source cannot be had, with the reason.",
        "whoever measures, and the agent of a unit that is silent",
        ("source", "reason"),
    ),
    Metric(
        "ipex_node_drift",
        "gauge",
        "Things that are not as the node's generation has them.",
        "ipex-node status",
        ("what",),
    ),
    Metric(
        "ipex_node_quarantined_generations",
        "gauge",
        "Generations that have failed on this node.",
        "/var/lib/ipex/quarantine.json",
    ),
    Metric(
        "ipex_node_reboot_reasons",
        "gauge",
        "Why the node needs a reboot, counted: packages that ask for it, a newer kernel, the health monitor.",
        "ipex-node status",
    ),
    Metric(
        "ipex_node_staged_generations",
        "gauge",
        "Generations that lie ready on this node, the current one included.",
        "/var/lib/ipex/generations",
    ),
    Metric(
        "ipex_cleanup_freed_bytes",
        "gauge",
        "What the last cleanup has freed on the disk.",
        "ipex-node cleanup",
    ),
    Metric(
        "ipex_cleanup_last_run_timestamp_seconds",
        "gauge",
        "When the last cleanup has ended.",
        "ipex-node cleanup",
    ),
    Metric(
        "ipex_backup_last_success_timestamp_seconds",
        "gauge",
        "When the backup was last made; absent where it never was.",
        "/var/lib/ipex/backups, written by ipex-node backup-done",
        ("backup",),
    ),
    Metric(
        "ipex_backup_failed",
        "gauge",
        "1 while the last attempt at the backup has failed.",
        "/var/lib/ipex/backups, written by ipex-node backup-done",
        ("backup",),
    ),
    Metric(
        "ipex_node_last_update_timestamp_seconds",
        "gauge",
        "When the current generation became current.",
        "time of the link /var/lib/ipex/current",
    ),
)

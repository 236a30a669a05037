"""What the health monitor finds and does."""

from fleet.metrics.metric import Metric

ROWS = (
    Metric(
        "ipex_health_last_run_timestamp_seconds",
        "gauge",
        "When the health monitor last looked at the engines.",
        "ipex-node health",
    ),
    Metric(
        "ipex_health_check_failed",
        "gauge",
        "1 where this level of health failed at the last look; deeper levels were then not asked.",
        "ipex-node health: runs, port, api, generates, gpu",
        ("service", "check"),
    ),
    Metric(
        "ipex_health_condemned",
        "gauge",
        "1 while the service is out of rotation because the health monitor has condemned it.",
        "/run/ipex-health/verdict.json, unless the gateways doubt the check",
        ("service",),
    ),
    Metric(
        "ipex_health_restarts_total",
        "counter",
        "Restarts the health monitor has asked for.",
        "ipex-node health, kept across reboots",
        ("service",),
    ),
    Metric(
        "ipex_health_budget_left",
        "gauge",
        "Restarts the health monitor may still ask for now.",
        "ipex-node health",
        ("service",),
    ),
    Metric(
        "ipex_health_circuit_open",
        "gauge",
        "1 for a check that fails on so many nodes that none repairs itself for it.",
        "the gateways, as they tell the node's agent",
        ("check",),
    ),
    Metric(
        "ipex_node_reboot_needed",
        "gauge",
        "1 while the node is out of rotation until it reboots: a GPU is wedged, or was reset twice.",
        "/run/ipex-health/verdict.json",
    ),
    Metric(
        "ipex_gpu_resets_total",
        "counter",
        "Records of a reset, a hang or a wedge in the kernel's log.",
        "/dev/kmsg, kept across reboots",
        ("gpu", "kind"),
    ),
)

"""The metrics of the fleet: one row per family; agent, alerts, panels and the reference page read them here."""

from fleet.metrics import gpu, health, node, traffic

METRICS = (*node.ROWS, *gpu.ROWS, *traffic.ROWS, *health.ROWS)

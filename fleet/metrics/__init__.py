"""The metrics of the fleet: one row per family; agent, alerts, panels and the reference page read them here."""

from fleet.metrics import gateway, gpu, health, node, optimizer, traffic

# What agents tell.
METRICS = (*node.ROWS, *gpu.ROWS, *traffic.ROWS, *health.ROWS, *optimizer.ROWS)
# Everything the fleet itself counts; the families of others' exporters are theirs.
FAMILIES = (*METRICS, *gateway.ROWS)

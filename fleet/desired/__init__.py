"""What a node should hold: a pure function of the node and its fleet."""

from fleet.desired import (
    acme,
    agent,
    alertmanager,
    backup,
    blackbox,
    cleanup,
    commands,
    depot,
    firewall,
    floating,
    gateway,
    gateway_kernel,
    gateway_metrics,
    grafana,
    health,
    models,
    nix,
    node_exporter,
    optimizer,
    patching,
    prometheus,
    rules,
    services,
    status,
    updates,
)
from fleet.generation import Generation, Part
from fleet.model import Fleet, Node


def generation(node: Node, fleet: Fleet) -> Generation:
    """Everything that should be on one node."""
    return Generation(node.name, tuple(_parts(node, fleet)))


def _parts(node: Node, fleet: Fleet) -> list[Part]:
    parts = [firewall.part(node, fleet)] if node.firewall else []
    parts += [
        agent.part(node, fleet),
        status.part(node),
        patching.part(node),
        node_exporter.part(node, fleet),
        depot.part(node, fleet),
    ]
    parts.append(updates.part(node, fleet))
    parts.append(nix.part(node, fleet))
    parts += _of_gpu_node(node, fleet)
    if node.gateway:
        if node.gateway.tls.acme:
            parts.append(acme.part(node, node.gateway, node.gateway.tls.acme, fleet, (gateway.UNIT, gateway.PID)))
        parts.append(gateway_kernel.part(gateway.UNIT))
        parts.append(gateway.part(node, node.gateway, fleet))
        parts.append(gateway_metrics.part(node.gateway, node.metrics, fleet))
        if fleet.floating:
            parts.append(floating.part(node, node.gateway, fleet.floating, fleet))
    if node.prometheus:
        parts.append(prometheus.part(node.prometheus, node.blackbox, fleet, rules.files(node, fleet)))
    if node.blackbox:
        parts.append(blackbox.part(node.blackbox, fleet))
    if node.alertmanager and node.notifications:
        parts.append(alertmanager.part(node, node.alertmanager, node.notifications, fleet))
    if node.prometheus and node.grafana:
        parts.append(grafana.part(node, node.grafana, node.prometheus, fleet))
    return parts


def _of_gpu_node(node: Node, fleet: Fleet) -> list[Part]:
    parts = []
    if node.is_gpu:
        parts.append(services.part(node, fleet))
        parts += map(commands.part, (commands.TRAFFIC, commands.GPU, commands.MEMORY_CHECK))
        parts.append(health.part(node))
    if node.cleanup:
        parts.append(cleanup.part(node, node.cleanup))
    if node.optimizer and node.optimizer.enable:
        parts.append(optimizer.part(node, node.optimizer, fleet))
    if node.backup:
        parts.append(backup.part(node, node.backup, fleet))
    if node.models:
        parts.append(models.part(node, node.models, fleet))
    return parts

"""What is wrong with a fleet's objectives, and with the points from which on somebody is told."""

from collections.abc import Iterator

from fleet import alerts, objectives, thresholds
from fleet.model import Fleet, Node
from fleet.problems import Problem
from fleet.thresholds import Thresholds


def problems(fleet: Fleet) -> Iterator[Problem]:
    """Everything that is wrong with them on any node."""
    monitors = fleet.with_role("monitors")
    for node in fleet.nodes:
        if node.is_gpu and node.gpus < 1:
            yield Problem(node.name, f"gpus is {node.gpus}", "Say how many Intel GPUs it has.")
        if "monitors" in node.roles:
            yield from (Problem(node.name, *found) for found in _of_monitor(node, monitors[0], fleet))


def _of_monitor(node: Node, first: Node, fleet: Fleet) -> Iterator[tuple[str, str]]:
    if (node.objectives, node.alerts) != (first.objectives, first.alerts):
        yield "objectives or alerts differ from the first monitor's", "Set them for all."
    if node.alerts is None:
        yield "alerts is missing", "Set it in group_data/monitors.py."
    else:
        yield from thresholds.nonsense(node.alerts)
        yield from _unknown(node.alerts)
        yield from _never_renewed(node.alerts, fleet)
    for objective in node.objectives.values():
        yield from objectives.nonsense(objective)
        bounds = [bound for gateway in fleet.with_role("gateways") for bound in gateway.metrics.duration_buckets]
        if objective.seconds is not None and objective.seconds not in bounds:
            where = f"objectives.{objective.name}.seconds"
            yield f"{where} is {objective.seconds}", "Make it one of metrics.duration_buckets, or add it there."


def _never_renewed(limits: Thresholds, fleet: Fleet) -> Iterator[tuple[str, str]]:
    """A certificate that nobody renews before somebody is told that it ends: every renewal would be an alert."""
    for gateway in fleet.nodes:
        acme = gateway.gateway.tls.acme if gateway.gateway else None
        ahead = limits.certificate_ahead
        if acme and thresholds.spelt(ahead) and acme.renew_days * thresholds.seconds("1d") <= thresholds.seconds(ahead):
            late = f"{gateway.name} renews its certificate when {acme.renew_days} days are left"
            cure = "Write less there, or more in gateway.tls.acme.renew_days."
            yield f"alerts.certificate_ahead is {ahead}, and {late}", cure


def _unknown(limits: Thresholds) -> Iterator[tuple[str, str]]:
    for name in limits.without:
        if name not in alerts.NAMES:
            yield f"alerts.without has {name!r}", f"Name alerts that there are: {', '.join(sorted(alerts.NAMES))}."

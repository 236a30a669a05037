"""The rule of who is let in: clients, limits, TLS and the allow-list, of all gateways alike."""

import re
from collections.abc import Iterator

from fleet import access, endpoints, limits, secrets, tls
from fleet.model import Fleet
from fleet.problems import Problem


def problems(fleet: Fleet) -> Iterator[Problem]:
    """Everything about clients, their limits and the allow-list that cannot be meant."""
    gateways = [node for node in fleet.nodes if node.gateway]
    for node in gateways:
        if not node.gateway:
            continue
        found = [*tls.nonsense(node.gateway.tls), *limits.nonsense(node.gateway.limits)]
        found += access.nonsense(node.access, tuple(node.gateway.limits.classes))
        if node.access != gateways[0].access:
            found.append(("access differs from the first gateway's", "Let in the same clients everywhere."))
        yield from (Problem(node.name, *one) for one in found)
    probe = fleet.secrets.get("probe.key")
    if fleet.secrets.has(probe.name) and not re.fullmatch(secrets.KEY, probe.reveal()):
        yield Problem(
            "secrets", f"{probe.name} is no API key", "Make one: python -m tools.secrets (docs/operate/gateway.md)."
        )
    for service in fleet.services():
        for what, cure in endpoints.nonsense(service.route.endpoints):
            yield Problem(fleet.environment, f"services.{service.name}.route.endpoints: {what}", cure)

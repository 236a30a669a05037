"""Who may reach what: for each node the ports that others need, from the model alone.

Everything else follows from it: the firewall's rules, and the scan that proves them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fleet import firewall
from fleet.firewall import ANY, Opening
from fleet.model import ROLES, Fleet, Node, Role
from fleet.observed import Observed
from fleet.problems import Problem

Protocol = Literal["tcp", "udp", "vrrp"]

_WORLD = (ANY,)
# Who asks each program of a node. Engines are asked by gateways alone: the health monitor and the program that measures
# traffic sit beside them, and monitors ask the agent. A gateway asks a monitor's Prometheus for its front page, and
# shows Grafana to whoever may look.
_ASKED_BY: dict[str, tuple[Role, ...] | Literal["world", "admitted", "nobody"]] = {
    "agent": ("gateways", "monitors"),
    "models": ("gpu_nodes",),
    "node_exporter": ("monitors",),
    "nginx_exporter": ("monitors",),
    "mtail": ("monitors",),
    "prometheus": ("gateways", "monitors"),
    "alertmanager": ("monitors",),
    "alertmanager_gossip": ("monitors",),
    "blackbox_exporter": "nobody",
    "restore_test": "nobody",
    "grafana": "admitted",
    # Whatever a node does, it takes its generation and its closures from there.
    "depot": ROLES,
    # Every node asks whether it may update itself.
    "turns": ROLES,
    "gateway": "world",
    "gateway's TLS": "world",
}
# What is spoken over UDP, too (alertmanager's --cluster.listen-address).
_UDP_TOO = {"alertmanager_gossip"}


@dataclass(frozen=True)
class Admission:
    """One row of the matrix.

    Attributes:
        owner: whose port it is.
        protocol: what is spoken there.
        ports: the ports; none for a protocol that has none.
        sources: addresses and networks, or `any`; the node's own address is never among them.
    """

    owner: str
    protocol: Protocol
    ports: tuple[int, ...]
    sources: tuple[str, ...]


def of(node: Node, fleet: Fleet) -> tuple[Admission, ...]:
    """Everything that may be reached on a node, and from where; rows that admit nobody are left out."""
    rows = [*_operators(node, fleet), *_programs(node, fleet), *_takeover(node, fleet)]
    return tuple(row for row in rows if row.sources)


def lockout(node: Node, observed: Observed, fleet: Fleet) -> Iterator[Problem]:
    """Refuse rules that would not admit the very connection by which the node is asked."""
    if not node.firewall or not observed.asked_from:
        return
    address, port = observed.asked_from
    if port not in node.firewall.ssh_ports:
        ports = ", ".join(map(str, node.firewall.ssh_ports))
        yield Problem(
            node.name,
            f"is reached over SSH on its port {port}, and firewall.ssh_ports admits {ports}",
            f"Add {port} to firewall.ssh_ports: the next connection would not get in.",
        )
    if not firewall.admits(_resolved(node.firewall.ssh_from, node, fleet, itself=True), address):
        yield Problem(
            node.name,
            f"is reached over SSH from {address}, which firewall.ssh_from does not admit",
            "Add this controller's network to firewall.ssh_from: the next connection would not get in.",
        )


def _operators(node: Node, fleet: Fleet) -> Iterator[Admission]:
    """The rows that data declare."""
    if node.firewall:
        ssh = Opening("ssh", node.firewall.ssh_ports, node.firewall.ssh_from)
        for opening in (ssh, *node.firewall.also.values()):
            sources = _resolved(opening.sources, node, fleet)
            yield Admission(opening.name, opening.protocol, opening.ports, sources)


def _programs(node: Node, fleet: Fleet) -> Iterator[Admission]:
    """The rows of the fleet's own programs."""
    engines = {service.name for service in node.services}
    for port, owner in node.ports():
        sources = _roles(("gateways",), node, fleet) if owner in engines else _sources(owner, node, fleet)
        yield Admission(owner, "tcp", (port,), sources)
        if owner in _UDP_TOO:
            yield Admission(owner, "udp", (port,), sources)


def _takeover(node: Node, fleet: Fleet) -> Iterator[Admission]:
    """Gateways tell each other that they live, where there are several (VRRP, IP protocol 112)."""
    if node.gateway:
        yield Admission("gateway", "vrrp", (), _roles(("gateways",), node, fleet))


def _sources(owner: str, node: Node, fleet: Fleet) -> tuple[str, ...]:
    asked_by = _ASKED_BY[owner]
    if asked_by == "world":
        return _WORLD
    if asked_by == "admitted":
        people = node.grafana.admitted if node.grafana else ()
        return _WORLD if ANY in people else (*people, *_roles(("gateways",), node, fleet))
    return () if asked_by == "nobody" else _roles(asked_by, node, fleet)


def _roles(roles: tuple[Role, ...], node: Node, fleet: Fleet) -> tuple[str, ...]:
    return tuple(address for address in fleet.addresses(*roles) if address != node.address)


def _resolved(sources: tuple[str, ...], node: Node, fleet: Fleet, *, itself: bool = False) -> tuple[str, ...]:
    """Put addresses in the place of groups."""
    if ANY in sources:
        return _WORLD
    groups = tuple(role for role in ROLES if role in sources)
    members = _roles(groups, node, fleet) + ((node.address,) if itself else ())
    return (*(source for source in sources if source not in groups), *members)

"""What a node's firewall admits beside the fleet's own traffic, and whether its data can be meant."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

ANY = "any"
"""Every source, IPv4 and IPv6."""
GROUPS = ("gpu_nodes", "gateways", "monitors")
"""Words for the nodes of the fleet that have a role."""

_LEAST_SECONDS, _MOST_SECONDS = 5, 600


@dataclass(frozen=True)
class Opening:
    """Ports of a program that is not the fleet's.

    Attributes:
        name: what it is for.
        ports: where it listens.
        sources: networks, groups of the fleet, or `any`.
        protocol: tcp or udp.
    """

    name: str
    ports: tuple[int, ...]
    sources: tuple[str, ...]
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True)
class Firewall:
    """What the model cannot know of who may reach a node.

    Attributes:
        ssh_ports: where sshd listens.
        ssh_from: networks, groups of the fleet, or `any`, from which people and the controller come.
        confirm_seconds: how long new rules stay without a new SSH connection that confirms them.
        also: what an operator opens beside it, by name.
    """

    ssh_ports: tuple[int, ...]
    ssh_from: tuple[str, ...]
    confirm_seconds: int
    also: Mapping[str, Opening] = field(default_factory=dict)


def nonsense(firewall: Firewall, taken: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure.

    Args:
        firewall: a node's.
        taken: the ports of the fleet's own programs on that node, with their owners.
    """
    yield from _ports("firewall.ssh_ports", firewall.ssh_ports, taken)
    yield from _sources("firewall.ssh_from", firewall.ssh_from)
    if not _LEAST_SECONDS <= firewall.confirm_seconds <= _MOST_SECONDS:
        yield (
            f"firewall.confirm_seconds is {firewall.confirm_seconds}",
            f"Write a number of seconds from {_LEAST_SECONDS} to {_MOST_SECONDS}.",
        )
    for name, opening in firewall.also.items():
        where = f"firewall.also.{name}"
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", name):
            yield f"{where} (its name)", "Write it like backup-server."
        yield from _ports(f"{where}.ports", opening.ports, taken)
        yield from _sources(f"{where}.sources", opening.sources)


def admits(sources: tuple[str, ...], address: str) -> bool:
    """Whether an address is among sources that name no groups."""
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return ANY in sources or any(found in ipaddress.ip_network(source) for source in sources)


def _ports(where: str, ports: tuple[int, ...], taken: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    if not ports:
        yield f"{where} is empty", "Write at least one port."
    for port in ports:
        if not 0 < port < 65536:
            yield f"{where} holds {port}", "Use numbers from 1 to 65535."
        elif port in taken:
            yield (
                f"{where} holds {port}, which is {taken[port]}'s",
                "Who reaches the fleet's own programs follows from the model: open only ports of other programs.",
            )


def _sources(where: str, sources: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    cure = f"Write {ANY}, networks like 10.0.0.0/8 or 2001:db8::/32, or {', '.join(GROUPS)}."
    if not sources:
        yield f"{where} is empty", cure
    for source in sources:
        if source not in {ANY, *GROUPS} and not _is_network(source):
            yield f"{where} holds {source!r}", cure


def _is_network(text: str) -> bool:
    try:
        return bool(ipaddress.ip_network(text))
    except ValueError:
        return False

"""Rules across all gateways: one floating address, and at least two that can hold it."""

import ipaddress
from collections.abc import Iterator

from fleet import floating
from fleet.model import Fleet
from fleet.problems import Problem

FLOATING = "floating"
"""What panels and alerts call the floating address, as if it were a node: no node has that name."""


def floating_problems(fleet: Fleet) -> Iterator[Problem]:
    """What cannot be meant of the floating address, and of how it is taken over."""
    gateways = [node for node in fleet.nodes if node.gateway]
    for node in gateways:
        if node.gateway:
            yield from (Problem(node.name, *found) for found in floating.nonsense(node.gateway.takeover))
        # Two that do not speak of the same address would both hold theirs.
        if node.floating != fleet.floating:
            yield Problem(node.name, "floating differs from the first gateway's", "Set it for the environment.")
    if any(node.name == FLOATING for node in fleet.nodes):
        yield Problem(FLOATING, "is what the floating address is called", "Give the node another name.")
    if fleet.floating and all(_is_address(node.address) for node in gateways):
        others = [node.address for node in fleet.nodes if node not in gateways]
        found = floating.misplaced(fleet.floating, [node.address for node in gateways], others)
        yield from (Problem(fleet.environment, *one) for one in found)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False  # another rule says so
    return True

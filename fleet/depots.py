"""Rules across all nodes about the depot: one node keeps it, and every node says the same of it."""

import dataclasses
from collections.abc import Iterator, Sequence

from fleet import depot
from fleet.model import Fleet, Node
from fleet.problems import Problem


def with_server(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes, of which one knows that it keeps the depot: the one that data name, or the first monitor."""
    declared = next((node.depot for node in nodes if node.depot), None)
    monitors = [node.name for node in nodes if "monitors" in node.roles]
    server = (declared.node or next(iter(monitors), None)) if declared else None
    return tuple(dataclasses.replace(node, serves_depot=True) if node.name == server else node for node in nodes)


def problems(fleet: Fleet) -> Iterator[Problem]:
    """What cannot be meant of the depot."""
    first = fleet.nodes[0].depot if fleet.nodes else None
    for node in fleet.nodes:
        if node.depot != first:
            yield Problem(node.name, "depot differs from the first node's", "Set it for all or for an environment.")
    if first:
        yield from (Problem(fleet.environment, *found) for found in depot.nonsense(first))
        yield from (Problem("secrets", *found) for found in depot.bad_keys(fleet.secrets))
        if first.node and not fleet.depot_node:
            names = ", ".join(node.name for node in fleet.nodes)
            yield Problem(fleet.environment, f"depot.node is {first.node!r}", f"Name one of {names}, or None.")

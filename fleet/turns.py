"""Rules across all nodes about their updates: one node gives turns, and all say the same of how many there are."""

import dataclasses
from collections.abc import Iterator, Sequence

from fleet import updates
from fleet.model import Fleet, Node
from fleet.problems import Problem

_OWN = {"enable", "windows", "blackouts"}
"""What each node may have of its own: it is its own clock that counts."""


def with_giver(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes; the first monitor, where the rollout lock is, knows that it gives turns if any node takes one."""
    wanted = any(node.updates and node.updates.enable for node in nodes)
    first = next((node.name for node in nodes if wanted and "monitors" in node.roles), None)
    return tuple(dataclasses.replace(node, gives_turns=True) if node.name == first else node for node in nodes)


def giver(fleet: Fleet) -> Node | None:
    """Who gives turns."""
    return next((node for node in fleet.nodes if node.gives_turns), None)


def problems(fleet: Fleet) -> Iterator[Problem]:
    """What cannot be meant of updates."""
    first = _shared(fleet.nodes[0]) if fleet.nodes else None
    for node in fleet.nodes:
        if _shared(node) != first:
            what = "updates differs from the first node's in more than enable, windows and blackouts"
            yield Problem(node.name, what, "Set the rest for all or for an environment.")
        if node.updates:
            yield from (Problem(node.name, *found) for found in updates.nonsense(node.updates))
            if node.updates.enable and not fleet.depot_node:
                cure = "Declare depot, or set updates.enable to False."
                yield Problem(node.name, "updates itself, and there is no depot", cure)


def _shared(node: Node) -> dict[str, object] | None:
    if not node.updates:
        return None
    return {key: value for key, value in vars(node.updates).items() if key not in _OWN}

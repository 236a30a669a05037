"""Which checks fail on so many nodes at once that the check is doubted, and no node repairs itself for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Limits:
    """When a check is doubted.

    Attributes:
        share: More than this share of the nodes that could fail it do.
        nodes: And at least so many.
    """

    share: float
    nodes: int


class Circuit:
    """Counts the nodes behind each failing check.

    Args:
        members: Service to the nodes that run it.
        limits: When a check is doubted.
    """

    def __init__(self, members: Mapping[str, tuple[str, ...]], limits: Limits) -> None:
        self._members = members
        self._everybody = {node for nodes in members.values() for node in nodes}
        self._limits = limits
        self._failing: dict[str, tuple[str, ...]] = {}

    def hear(self, node: str, failing: tuple[str, ...]) -> None:
        """Keep what a node says of itself; the last word of one that falls silent stands."""
        self._failing[node] = failing

    def open(self) -> dict[str, tuple[str, ...]]:
        """Return the doubted checks, each with the nodes on which it fails."""
        nodes: dict[str, list[str]] = {}
        for node, failing in sorted(self._failing.items()):
            for check in failing:
                nodes.setdefault(check, []).append(node)
        return {check: tuple(there) for check, there in sorted(nodes.items()) if self._is_doubted(check, there)}

    def _is_doubted(self, check: str, there: list[str]) -> bool:
        # A check is SERVICE:LEVEL; what no service is called, as gpu:reset, concerns every node.
        could = self._members.get(check.partition(":")[0], self._everybody)
        return len(there) >= self._limits.nodes and len(there) > self._limits.share * len(could)

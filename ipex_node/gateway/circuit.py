"""Which checks fail on so many nodes at once that the check is doubted, and no node repairs itself for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORGET_SECONDS = 60.0
"""A node that was silent for so long is not counted: longer than an agent takes to start anew, shorter than a boot."""


@dataclass(frozen=True)
class Limits:
    """When a check is doubted.

    Attributes:
        share: More than this share of the nodes that could fail it do.
        nodes: And at least so many.
    """

    share: float
    nodes: int


class _Word(NamedTuple):
    failing: tuple[str, ...]
    serving: frozenset[str]
    at: float


class Circuit:
    """Counts the nodes behind each failing check, over those that could fail it.

    Those are the nodes that serve or fail it. One that is silent, or that has been out for so long that it does not
    even count as failing any more, has left the fleet: neither its illness nor its absence says anything of the rest.

    Args:
        members: Service to the nodes that run it.
        limits: When a check is doubted.
    """

    def __init__(self, members: Mapping[str, tuple[str, ...]], limits: Limits) -> None:
        self._members = members
        self._limits = limits
        self._said: dict[str, _Word] = {}

    def hear(self, node: str, failing: tuple[str, ...], serving: Iterable[str], now: float) -> None:
        """Keep what a node says of itself.

        Args:
            node: The node.
            failing: Its checks that fail.
            serving: Its services that are up.
            now: A moment of `time.monotonic()`.
        """
        self._said[node] = _Word(failing, frozenset(serving), now)

    def open(self, now: float) -> dict[str, tuple[str, ...]]:
        """Return the doubted checks, each with the nodes on which it fails."""
        there = {node: word for node, word in sorted(self._said.items()) if now - word.at < FORGET_SECONDS}
        found = {}
        for check in sorted({check for word in there.values() for check in word.failing}):
            failing = tuple(node for node, word in there.items() if check in word.failing)
            could = [node for node, word in there.items() if node in failing or self._serves(word, check)]
            if len(failing) >= self._limits.nodes and len(failing) > self._limits.share * len(could):
                found[check] = failing
        return found

    def _serves(self, word: _Word, check: str) -> bool:
        # A check is SERVICE:LEVEL; what no service is called, as gpu:reset, concerns every node.
        service = check.partition(":")[0]
        return service in word.serving if service in self._members else bool(word.serving)

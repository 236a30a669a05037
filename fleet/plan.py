"""What a run has to do on a node: the difference between what should be and what the node said."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fleet.generation import Generation
from fleet.model import Node
from fleet.observed import Observed


@dataclass(frozen=True)
class Work:
    """One node's part of a run.

    Attributes:
        node: the node.
        generation: what should be on it.
        missing: Debian packages that are not installed.
        reasons: why it must be activated, one sentence each; empty when it is as declared.
        verify: the fleet's digest if this gateway's routes must be verified; empty if they need not.
    """

    node: Node
    generation: Generation
    missing: tuple[str, ...]
    reasons: tuple[str, ...]
    verify: str = ""

    @property
    def activate(self) -> bool:
        """Whether anything on the node must change."""
        return bool(self.missing or self.reasons)

    def lines(self) -> Iterator[str]:
        """What will be done and why, for the plan."""
        if self.missing:
            yield f"install {', '.join(self.missing)}"
        yield from self.reasons
        if self.verify:
            yield "verify the routes through this gateway"


def work(node: Node, generation: Generation, observed: Observed) -> Work:
    """Compare what should be on a node with what it says."""
    return Work(
        node=node,
        generation=generation,
        missing=tuple(name for name in generation.packages if name not in observed.packages),
        reasons=tuple(_reasons(generation, observed)),
    )


def digest(generations: Iterable[Generation]) -> str:
    """Names what a whole fleet should be."""
    ids = sorted(f"{generation.node}={generation.id}" for generation in generations)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def _reasons(generation: Generation, observed: Observed) -> Iterator[str]:
    current = observed.status.get("generation")
    if not observed.status:
        yield f"install generation {generation.id}"
    elif current != generation.id:
        yield f"change from generation {current or 'none'} to {generation.id}"
    else:
        for item in observed.status.get("drift", ()):
            yield f"mend {item['name']}: {item['why']}"

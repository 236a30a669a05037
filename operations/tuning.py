"""Ask GPU nodes whether their release is slower than the one before it."""

from collections.abc import Generator

from pyinfra.api.operation import operation

from fleet.desired.program import PATH
from fleet.model import Node
from operations.node_command import NodeCommand

_SECONDS = 60


def compare(node: Node) -> None:
    """Compare a node's releases; one that has regressed fails, and is told with its figures."""
    if node.optimizer and node.optimizer.enable:
        _compared(name="Compare with the release before", _timeout=_SECONDS)


@operation()
def _compared() -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "baseline")

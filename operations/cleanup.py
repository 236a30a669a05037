"""Free the nodes' disks of what nobody needs."""

from collections.abc import Generator

from pyinfra.api.operation import operation

from fleet.desired.program import PATH
from fleet.model import Node
from operations.node_command import NodeCommand

# Nix' garbage collector ends when it is done: an hour on a slow disk with a full store.
_SECONDS = 3600


def free(node: Node) -> None:
    """Remove what the node's own plan names; each failure is told, and so is what was freed."""
    if node.cleanup:
        _freed(name="Free the disk", _timeout=_SECONDS)


@operation()
def _freed() -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "cleanup", "--json")

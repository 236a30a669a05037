"""Verify: ask for the fleet's work as its users would, through the gateway."""

from collections.abc import Generator

from pyinfra.api.operation import operation

from fleet.desired.program import PATH
from fleet.plan import Work
from operations.node_command import NodeCommand

_SECONDS = 900


def routes(work: Work) -> None:
    """Ask through this gateway for every service's work; the answer is remembered until the fleet changes."""
    if work.verify:
        _verified(name="Verify the routes", fleet=work.verify, _timeout=_SECONDS)


@operation()
def _verified(fleet: str) -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "verify", "--record", fleet)

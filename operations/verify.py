"""Verify: ask for the fleet's work as its users would, through the gateway."""

from collections.abc import Generator

from pyinfra.api.operation import operation

from fleet.desired.program import PATH
from fleet.model import Node
from fleet.plan import Work
from operations.node_command import NodeCommand

_SECONDS = 900


def routes(work: Work) -> None:
    """Ask through this gateway for every service's work; the answer is remembered until the fleet changes."""
    if work.verify:
        _verified(name="Verify the routes", fleet=work.verify, _timeout=_SECONDS)


def check(node: Node) -> None:
    """Ask through this gateway once more; nothing is remembered."""
    if node.gateway:
        _verified(name="Verify the routes", fleet="", _timeout=_SECONDS)


def probe(node: Node) -> None:
    """Let every service of a GPU node do its smallest work, asked on the node itself."""
    if node.is_gpu:
        _probed(name="Probe the engines", _timeout=_SECONDS)


@operation()
def _verified(fleet: str) -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "verify", *(["--record", fleet] if fleet else []))


@operation()
def _probed() -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "probe")

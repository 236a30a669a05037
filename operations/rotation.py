"""Take nodes out of the gateways' rotation for an operator, and back in."""

from collections.abc import Generator, Iterator

from pyinfra.api.command import QuoteString
from pyinfra.api.operation import operation
from pyinfra.api.state import State

from fleet.desired.program import PATH
from fleet.load import RefusedError
from fleet.model import Node
from fleet.problems import Problem, report
from operations import capacity, question
from operations.node_command import NodeCommand
from operations.once import once
from operations.question import Answers

# The gateways must let go, and the slowest service may take its deadline; what comes on top is a fault.
_MARGIN_SECONDS = 120


def allowed(state: State) -> Answers:
    """What the nodes said, where all GPU nodes of this run may leave rotation at once.

    Raises:
        RefusedError: a service would fall below its floor.
    """
    return once(state, _allowed)


def _allowed(state: State) -> Answers:
    found = question.answers(state)
    leaving = [name for name in found.answers if found.fleet[name].is_gpu]
    problems = [
        Problem(
            one.service,
            f"{len(one.serving - frozenset(leaving))} of {len(one.nodes)} nodes would serve {one.service}, its floor "
            f"is {one.floor}",
            "Drain fewer nodes with --limit, or add --data force=true.",
        )
        for one in capacity.of(state, found)
        if not one.allows(leaving)
    ]
    problems += _floating(found)
    if problems and not found.request.force:
        raise RefusedError(f"No node was drained:\n{report(found.fleet.environment, problems)}")
    return found


def _floating(found: Answers) -> Iterator[Problem]:
    """Leave at least one gateway that can hold the floating address."""
    gateways = {node.name for node in found.fleet.with_role("gateways")}
    leaving = gateways & set(found.answers)
    if found.fleet.floating and leaving and not gateways - leaving:
        yield Problem(
            ", ".join(sorted(leaving)),
            f"nobody would hold {found.fleet.floating.address}",
            "Drain one gateway at a time, with --limit.",
        )


def drain(node: Node, reason: str, *, force: bool) -> None:
    """Leave rotation, and wait for what is in flight; a gateway gives the floating address to another."""
    if _leaves(node):
        seconds = max((service.drain_seconds for service in node.services), default=0) + _MARGIN_SECONDS
        _drained(name="Leave rotation", reason=reason or "drained by hand", force=force, _timeout=seconds)


def _leaves(node: Node) -> bool:
    return node.is_gpu or bool(node.gateway and node.floating)


def undrain(node: Node) -> None:
    """Return to rotation."""
    if _leaves(node):
        _undrained(name="Return to rotation", _timeout=_MARGIN_SECONDS)


@operation()
def _drained(reason: str, *, force: bool) -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "drain", *(["--force"] if force else []), "--reason", QuoteString(reason))


@operation()
def _undrained() -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "undrain")

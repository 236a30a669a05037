"""Ask every node of a run its one question, once; the same for a single node later on."""

from dataclasses import dataclass, field
from time import monotonic

import gevent
from pyinfra.api.host import Host
from pyinfra.api.state import State

from facts.node_state import NodeState
from fleet import desired, fitness, load
from fleet.generation import Generation
from fleet.model import Fleet
from fleet.observed import Observed
from fleet.rollout import Request
from operations import connection
from operations.once import once

# How long a node may be busy with a change before a run gives up on it.
_PEACE_SECONDS = 10


@dataclass(frozen=True)
class Answers:
    """What the nodes of a run said.

    Attributes:
        fleet: the whole fleet, whatever --limit leaves out.
        request: what the command line says of this run.
        generations: what should be on each node, by name.
        answers: what each node said, by name; only nodes of the run that could be reached.
        unreached: nodes of the run that could not.
        left_out: nodes that --limit or --exclude leave out.
        asked_at: when they were asked (`time.monotonic()`).
    """

    fleet: Fleet
    request: Request
    generations: dict[str, Generation]
    answers: dict[str, Observed]
    unreached: tuple[str, ...]
    left_out: frozenset[str]
    asked_at: float = field(default_factory=monotonic)


def answers(state: State) -> Answers:
    """What the nodes of this run say: asked by the first that comes here, awaited by all others.

    Raises:
        RefusedError: with every problem of the inventory, or of the command line.
    """
    return once(state, _ask_all)


def ask(host: Host, found: Answers) -> Observed | None:
    """Ask one node once more, or for the first time; None where it does not answer."""
    try:
        connection.drop_dead(host)
        host.connect(reason="to ask how it is", show_errors=False)
        return _ask(host, found.fleet, found.generations) if host.connected else None
    except connection.LOST:
        return None


def _ask_all(state: State) -> Answers:
    fleet = load.from_inventory(state.inventory)
    request = load.request(state.inventory)
    generations = {node.name: desired.generation(node, fleet) for node in fleet.nodes}
    hosts = {load.node_name(host): host for host in state.inventory if state.is_host_in_limit(host)}
    questions = {
        name: gevent.spawn(_ask_in_peace, host, fleet, generations) for name, host in hosts.items() if host.connected
    }
    return Answers(
        fleet=fleet,
        request=request,
        generations=generations,
        answers={name: question.get() for name, question in questions.items()},
        unreached=tuple(name for name, host in hosts.items() if not host.connected),
        left_out=frozenset(node.name for node in fleet.nodes) - set(hosts),
    )


def _ask(host: Host, fleet: Fleet, generations: dict[str, Generation]) -> Observed:
    node = fleet[load.node_name(host)]
    observed: Observed = host.get_fact(
        NodeState,
        sysfs=node.paths.sysfs,
        procfs=node.paths.procfs,
        render_nodes=fitness.render_nodes(node),
        packages=generations[node.name].packages,
        floating=fleet.floating.address if fleet.floating and node.gateway else "",
    )
    return observed


def _ask_in_peace(host: Host, fleet: Fleet, generations: dict[str, Generation]) -> Observed:
    """Ask a node, once more where it is being changed: most changes take seconds, a look at one takes less."""
    deadline = monotonic() + _PEACE_SECONDS
    while (said := _ask(host, fleet, generations)).is_busy and monotonic() < deadline:
        gevent.sleep(1)
    return said

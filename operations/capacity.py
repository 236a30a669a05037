"""What serves now, when a run is planned and again before each of its waves."""

from collections.abc import Iterator, Mapping
from time import monotonic

import gevent
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fleet import load, plan, waves
from fleet.waves import Capacity, Wave
from operations import question
from operations.question import Answers

# How long a wave waits for gateways to take back what the one before it has changed.
_ROOM_SECONDS = 15
_PAUSE_SECONDS = 1


def of(state: State, found: Answers) -> tuple[Capacity, ...]:
    """What serves now. Of the nodes that are left out of the run a gateway tells, asked for it where need be.

    Without an answer they count as serving: where no gateway works, nothing that is taken out is missed.
    """
    gateways = [node.name for node in found.fleet.with_role("gateways")]
    views = [found.answers[name].rotation_seen for name in gateways if name in found.answers]
    if found.left_out and not any(views):
        hosts = {load.node_name(host): host for host in state.inventory}
        views = [_view(hosts[name], found) for name in gateways if name in found.left_out][:1]
    view = next((one for one in views if one), {})
    left_out = {
        service.name: [name for name in found.left_out if view.get(service.name, {}).get(name, "in") == "in"]
        for service in found.fleet.services()
    }
    return plan.capacities(found.fleet, found.answers, left_out)


def _view(gateway: Host, found: Answers) -> Mapping[str, Mapping[str, str]]:
    said = question.ask(gateway, found)
    return said.rotation_seen if said else {}


def await_room(state: State, found: Answers, wave: Wave) -> None:
    """Look once more whether a wave may be taken out: a node may have died since the run was planned.

    Raises:
        FloorError: it would take a service below its floor.
    """
    deadline = monotonic() + _ROOM_SECONDS
    while True:
        try:
            return waves.check(wave, tuple(_now(state, found)))
        except waves.FloorError:
            if monotonic() >= deadline:
                raise
        gevent.sleep(_PAUSE_SECONDS)


def _now(state: State, found: Answers) -> Iterator[Capacity]:
    """What one gateway gives requests to at this moment; nothing where none answers: then nothing is missed."""
    hosts = {load.node_name(host): host for host in state.inventory}
    names = [node.name for node in found.fleet.with_role("gateways") if node.name not in found.unreached]
    view = next((view for name in names if (view := _view(hosts[name], found))), {})
    # Nothing is said of nodes left out of the run: the gateway has just told of them, too.
    for capacity in plan.capacities(found.fleet, found.answers, {}) if view else ():
        serving = frozenset(name for name, treatment in view.get(capacity.service, {}).items() if treatment == "in")
        yield Capacity(capacity.service, capacity.nodes, serving, capacity.floor, capacity.withheld)

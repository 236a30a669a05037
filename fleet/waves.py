"""In which order a change goes through the fleet: canaries, growing shares of the rest, the rest. Pure."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fleet.problems import Problem


@dataclass(frozen=True)
class Wave:
    """Nodes that activate at the same time.

    Attributes:
        nodes: their names.
        canary: whether the others wait to see these succeed.
    """

    nodes: tuple[str, ...]
    canary: bool = False

    def __str__(self) -> str:
        """Its nodes for a heading: all of a few, the first of many."""
        shown = ", ".join(self.nodes[:6]) + (f" and {len(self.nodes) - 6} more" if len(self.nodes) > 6 else "")
        return f"{shown} (canary)" if self.canary else shown


@dataclass(frozen=True)
class Capacity:
    """How much of a service there is, and how much must go on.

    Attributes:
        service: its name.
        nodes: every node that is to run it.
        serving: those in rotation that do so now.
        floor: fewer than this must never serve.
        withheld: nodes that will not serve once they are changed either (drained by an operator, waiting for a reboot).
    """

    service: str
    nodes: frozenset[str]
    serving: frozenset[str]
    floor: int
    withheld: frozenset[str] = frozenset()

    def allows(self, wave: Iterable[str]) -> bool:
        """Whether these nodes may stop serving at once; nodes that do not serve cost nothing."""
        lost = self.serving & frozenset(wave)
        return not lost or len(self.serving - lost) >= self.floor

    def after(self, wave: Iterable[str]) -> "Capacity":
        """What serves once a wave has succeeded; had it failed, no other would follow."""
        gained = self.nodes & frozenset(wave) - self.withheld
        return Capacity(self.service, self.nodes, self.serving | gained, self.floor, self.withheld)


class FloorError(Exception):
    """A change that cannot be made without taking a service below its floor.

    Attributes:
        problems: one for each node that can never be taken out.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.where}: {problem.what}" for problem in problems))
        self.problems = list(problems)


def floor(wanted: int | str, nodes: int) -> int:
    """How many nodes a service's floor means: a number, or a share like `50%` of its nodes, rounded up.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(wanted, int):
        return wanted
    match = re.fullmatch(r"(\d{1,3})%", wanted)
    if not match:
        raise ValueError(wanted)
    return math.ceil(int(match[1]) * nodes / 100)


def plan(
    changing: Sequence[str], capacities: Sequence[Capacity], canaries: int, fractions: Sequence[float]
) -> tuple[Wave, ...]:
    """Part the nodes to change into waves none of which takes a service below its floor.

    Nodes that serve nothing come first: taking them out costs nothing, and afterwards they count. All others
    keep the order of the inventory.

    Args:
        changing: the nodes to change, in the order of the inventory.
        capacities: what serves now.
        canaries: how many nodes go alone before all others.
        fractions: the size of each wave behind them, as a share of the rest.

    Raises:
        FloorError: some node can never be taken out.
    """
    waiting = _idle_first(changing, capacities)
    sizes = _sizes(len(waiting), canaries, fractions)
    waves: list[Wave] = []
    while waiting:
        size = sizes[len(waves)] if len(waves) < len(sizes) else len(waiting)
        nodes = _fitting(waiting, capacities, size)
        if not nodes:
            raise FloorError([_problem((node,), capacities) for node in waiting])
        waves.append(Wave(nodes, canary=bool(canaries) and not waves and len(nodes) < len(changing)))
        capacities = [capacity.after(nodes) for capacity in capacities]
        waiting = [node for node in waiting if node not in nodes]
    return tuple(waves)


def check(wave: Wave, capacities: Iterable[Capacity]) -> None:
    """Look at one wave again, with what serves now.

    Raises:
        FloorError: it would take a service below its floor.
    """
    tight = [capacity for capacity in capacities if not capacity.allows(wave.nodes)]
    if tight:
        raise FloorError([_problem(wave.nodes, tight)])


def may_begin(failed: Iterable[str]) -> bool:
    """The stop rule: no wave begins once a node has failed in this run."""
    return not set(failed)


def _idle_first(changing: Sequence[str], capacities: Sequence[Capacity]) -> list[str]:
    serving = frozenset[str]().union(*(capacity.serving for capacity in capacities))
    return sorted(changing, key=lambda node: node in serving)


def _sizes(count: int, canaries: int, fractions: Sequence[float]) -> list[int]:
    """How many nodes each wave may have; what is left after them is the last wave."""
    rest = max(0, count - canaries)
    return [*([canaries] if canaries else []), *(max(1, math.ceil(share * rest)) for share in fractions)]


def _fitting(waiting: Sequence[str], capacities: Sequence[Capacity], size: int) -> tuple[str, ...]:
    """The first nodes that may go together, up to a size."""
    spare = [len(capacity.serving) - capacity.floor for capacity in capacities]
    wave: list[str] = []
    for node in waiting:
        costs = [place for place, capacity in enumerate(capacities) if node in capacity.serving]
        if len(wave) < size and all(spare[place] > 0 for place in costs):
            wave.append(node)
            for place in costs:
                spare[place] -= 1
    return tuple(wave)


def _problem(nodes: Sequence[str], capacities: Iterable[Capacity]) -> Problem:
    tight = [capacity for capacity in capacities if not capacity.allows(nodes)]
    what = "; ".join(
        f"{len(one.serving - set(nodes))} of {len(one.nodes)} nodes would serve {one.service}, its floor is {one.floor}"
        for one in tight
    )
    missing = sorted({name for one in tight for name in one.nodes - one.serving})
    bring = f"Bring {', '.join(missing)} back into service" if missing else "Add a node"
    names = " and ".join(one.service for one in tight)
    return Problem(
        ", ".join(nodes), f"cannot be taken out: {what}", f"{bring}, or lower the floor of {names} in group_data/."
    )


def capacities(
    backends: Mapping[str, Sequence[str]],
    floors: Mapping[str, int | str],
    serving: Mapping[str, Iterable[str]],
    withheld: Iterable[str] = (),
) -> tuple[Capacity, ...]:
    """Each service's capacity.

    Args:
        backends: the nodes that are to run each service.
        floors: each service's floor, as the data has it.
        serving: the nodes that serve it now.
        withheld: nodes that a change does not bring back into rotation.
    """
    out = frozenset(withheld)
    return tuple(
        Capacity(name, frozenset(nodes), frozenset(serving[name]) - out, floor(floors[name], len(nodes)), out)
        for name, nodes in backends.items()
    )

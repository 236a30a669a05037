"""A fleet of 100 nodes with random faults, changed by the plan, the refusals and the stop rule the deploy uses."""

import random
from dataclasses import dataclass, field, replace
from enum import Enum

from fleet import plan, waves
from fleet.generation import Generation
from fleet.model import Fleet
from fleet.observed import Observed
from fleet.plan import Work

OLD, NEW = "0" * 16, "1" * 16


class Fault(Enum):
    """What goes wrong on a node in one run."""

    NONE = "none"
    SLOW = "its activation takes long"
    FAILS = "its activation is rolled back"
    DIES = "it dies in the middle of its activation"
    DOWN = "it is down when the run begins"
    LEAVES = "it dies between two waves, whether they change it or not"


@dataclass
class Machine:
    """One simulated node.

    Attributes:
        fault: what goes wrong on it in this run.
        generation: what it serves; None where it is fresh.
        up: whether it can be reached.
        drained: whether an operator keeps it out of rotation.
        changing: ticks until its activation ends; 0 while none is under way.
        quarantined: what has failed on it.
    """

    fault: Fault
    generation: str | None
    drained: bool
    up: bool = True
    changing: int = 0
    quarantined: set[str] = field(default_factory=set)

    @property
    def serves(self) -> bool:
        """Whether requests that reach it are answered."""
        return self.up and not self.changing and not self.drained and self.generation is not None

    def says(self) -> Observed:
        """Its answer to the question every node is asked."""
        rotation = {"state": "draining", "by": "operator"} if self.drained else {"state": "in"}
        entries = {name: {"why": "failed", "at": ""} for name in self.quarantined}
        return Observed(status={"generation": self.generation, "rotation": rotation, "quarantined": entries})


@dataclass
class Simulation:
    """One fleet under one seed.

    Attributes:
        fleet: the model: which node is to run what, and every floor.
        generation: what stands for each node's desired generation.
        machines: the nodes, by name.
        violations: what must never happen, and did.
        begun: how many waves have begun.
    """

    fleet: Fleet
    generation: Generation
    seed: int
    machines: dict[str, Machine] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    begun: int = 0

    def __post_init__(self) -> None:
        """Draw the nodes, from none faulty to many."""
        self.nodes = {node.name: node for node in self.fleet.nodes}
        services = self.fleet.services()
        self.backends = {one.name: {node.name for node in self.fleet.backends(one.name)} for one in services}
        self.random = random.Random(self.seed)  # noqa: S311 - a seed must give the same fleet again
        self.trouble = self.random.choice([0, 0.002, 0.01, 0.1])
        fresh = self.random.choice([0, 0, 0.1, 1])
        for node in self.fleet.nodes:
            generation = None if self.random.random() < fresh else OLD
            self.machines[node.name] = Machine(self._fault(), generation, self.random.random() < self.trouble)

    def _fault(self) -> Fault:
        if self.random.random() >= self.trouble:
            return Fault.NONE
        return self.random.choice(list(Fault))

    def run(self) -> str:
        """One run of the deploy; how it ended, in a word."""
        for machine in self.machines.values():
            machine.up = machine.fault is not Fault.DOWN
        answers = {name: machine.says() for name, machine in self.machines.items() if machine.up}
        works = [self._work(name, said) for name, said in answers.items()]
        if any(True for work in works for _ in plan.quarantined(work, answers[work.node.name])):
            return "quarantined"
        capacities = plan.capacities(self.fleet, answers, {})
        changing = [work.node.name for work in works if work.activate]
        try:
            parts = waves.plan(changing, capacities, self.fleet.rollout.canaries, self.fleet.rollout.fractions)
        except waves.FloorError:
            return "floor"
        return self._walk(parts, {one.service: one.floor for one in capacities})

    def mend(self) -> None:
        """What people do between two runs: bring nodes back, and take a failure's mark away where it was chance."""
        for machine in self.machines.values():
            machine.up, machine.fault = True, self._fault()
            if self.random.random() < 0.5:
                machine.quarantined.clear()

    def _work(self, name: str, said: Observed) -> Work:
        reasons = () if said.generation == NEW else ("change",)
        return Work(self.nodes[name], self.generation, (), reasons, current=said.generation, target=NEW)

    def _walk(self, parts: tuple[waves.Wave, ...], floors: dict[str, int]) -> str:
        failed: set[str] = set()
        for wave in parts:
            if not waves.may_begin(failed):
                return "stopped"
            self._lose_some()
            try:
                waves.check(wave, self._now(floors))
            except waves.FloorError:
                return "floor"
            self.begun += 1
            if failed:
                self.violations.append(f"wave {wave} began after {failed}")
            failed |= self._activate(wave, floors)
        return "stopped" if failed else "done"

    def _lose_some(self) -> None:
        """Let nodes die that are not being changed."""
        for machine in self.machines.values():
            machine.up = machine.up and not (machine.fault is Fault.LEAVES and self.random.random() < 0.5)

    def _now(self, floors: dict[str, int]) -> list[waves.Capacity]:
        """What a gateway gives requests to."""
        up = frozenset(name for name, machine in self.machines.items() if machine.serves)
        return [
            waves.Capacity(name, frozenset(nodes), up & nodes, floors[name]) for name, nodes in self.backends.items()
        ]

    def _activate(self, wave: waves.Wave, floors: dict[str, int]) -> set[str]:
        before = self._serving()
        machines = {name: self.machines[name] for name in wave.nodes}
        for name, machine in machines.items():
            if NEW in machine.quarantined:
                self.violations.append(f"{name} activated what is quarantined")
            machine.changing = 50 if machine.fault is Fault.SLOW else self.random.randint(1, 5)
        failed = set()
        while under_way := [name for name in machines if machines[name].changing]:
            self._watch(before, floors)
            # To the next moment at which something ends.
            step = min(machines[name].changing for name in under_way)
            failed |= {name for name in under_way if self._passes(machines[name], step)}
        self._watch(before, floors)
        return failed

    def _passes(self, machine: Machine, ticks: int) -> bool:
        """Let time pass on a node; whether its activation failed by that."""
        machine.changing -= ticks
        if machine.changing:
            return False
        if machine.fault is Fault.DIES:
            machine.up = False
        elif machine.fault is Fault.FAILS:
            machine.quarantined.add(NEW)
        else:
            machine.generation = NEW
        return machine.fault in {Fault.DIES, Fault.FAILS}

    def _serving(self) -> dict[str, int]:
        up = {name for name, machine in self.machines.items() if machine.serves}
        return {name: len(up & nodes) for name, nodes in self.backends.items()}

    def _watch(self, before: dict[str, int], floors: dict[str, int]) -> None:
        """A service is at its floor, or this wave has taken nothing from it."""
        for service, count in self._serving().items():
            if count < floors[service] and count < before[service]:
                self.violations.append(f"{service}: {count} nodes serve, {before[service]} did, {floors[service]} must")


def fleet_of(example: Fleet, nodes: int, floors: dict[str, int | str], missing: int) -> Fleet:
    """A fleet of GPU nodes like the example's, of which every `missing`th runs only its first service."""
    first = example.with_role("gpu_nodes")[0]
    services = tuple(replace(service, floor=floors[service.name]) for service in first.services)
    return Fleet(
        "simulated",
        tuple(
            replace(first, name=f"gpu-{number:03}", services=services if number % missing else services[:1])
            for number in range(1, nodes + 1)
        ),
    )

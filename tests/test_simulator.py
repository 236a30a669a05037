"""Thousands of simulated rollouts: what must never happen does not."""

import collections

import pytest

from fleet.generation import Generation
from fleet.model import Fleet
from tests.simulator import NEW, Fault, Simulation, fleet_of

SEEDS = 1000


@pytest.fixture(scope="module")
def fleets(example: Fleet) -> list[Fleet]:
    """Fleets of 100 nodes with low, usual and high floors."""
    return [
        fleet_of(example, 100, {"ollama": ollama, "comfyui": comfyui}, missing)
        for ollama, comfyui, missing in (("50%", "50%", 101), (0, 10, 3), ("90%", 60, 4), (99, "66%", 4))
    ]


@pytest.fixture(scope="module")
def ended(fleets: list[Fleet]) -> tuple[list[Simulation], collections.Counter[str]]:
    """Every seed's fleet after two runs with people mending between them, and how the runs ended."""
    ends: collections.Counter[str] = collections.Counter()
    simulations = []
    for seed in range(SEEDS):
        simulation = Simulation(fleets[seed % len(fleets)], Generation("any", ()), seed)
        for _ in range(2):
            ends[simulation.run()] += 1
            simulation.mend()
        simulations.append(simulation)
    return simulations, ends


def test_nothing_that_must_never_happen_happens(
    ended: tuple[list[Simulation], "collections.Counter[str]"],
) -> None:
    """Floors hold at all times, nothing quarantined is activated, and no wave begins after a failure."""
    simulations, ends = ended

    print(f"\n{SEEDS} fleets of 100 nodes, {ends.total()} runs, {sum(one.begun for one in simulations)} waves: {ends}")
    assert {one.seed: one.violations for one in simulations if one.violations} == {}


def test_every_way_to_end_is_met(ended: tuple[list[Simulation], "collections.Counter[str]"]) -> None:
    """The faults are not too rare and not too many: runs are done, stopped, and refused for each reason."""
    _, ends = ended

    assert {name for name, count in ends.items() if count >= 20} == {"done", "stopped", "quarantined", "floor"}


def test_a_run_without_faults_brings_every_node_to_the_new_generation(fleets: list[Fleet]) -> None:
    """Where nothing goes wrong, one run is enough."""
    simulation = Simulation(fleets[0], Generation("any", ()), seed=1)
    for machine in simulation.machines.values():
        machine.fault, machine.drained = Fault.NONE, False

    assert simulation.run() == "done"
    assert {machine.generation for machine in simulation.machines.values()} == {NEW}


def test_the_simulator_sees_a_floor_that_is_broken(fleets: list[Fleet], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a plan that ignores floors, the same watch reports violations: it would find them."""
    monkeypatch.setattr("fleet.waves._fitting", lambda waiting, _capacities, size: tuple(waiting[:size]))
    monkeypatch.setattr("fleet.waves.check", lambda *_: None)
    simulation = Simulation(fleets[2], Generation("any", ()), seed=1)
    simulation.run()

    assert any("nodes serve" in violation for violation in simulation.violations)


def test_a_plan_alone_does_not_hold_the_floor(fleets: list[Fleet], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that die between two waves break a floor where nobody looks again before a wave."""
    monkeypatch.setattr("fleet.waves.check", lambda *_: None)
    simulations = [Simulation(fleets[seed % len(fleets)], Generation("any", ()), seed) for seed in range(200)]
    for simulation in simulations:
        simulation.run()

    assert any("nodes serve" in violation for one in simulations for violation in one.violations)

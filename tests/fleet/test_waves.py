"""The wave plan, over chosen fleets and random ones."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import load, plan, waves
from fleet.model import Fleet
from fleet.observed import Observed
from fleet.waves import Capacity, FloorError, Wave


def _names(count: int) -> list[str]:
    return [f"gpu-{number:02}" for number in range(1, count + 1)]


def _ollama(nodes: list[str], serving: list[str], floor: int) -> Capacity:
    return Capacity("ollama", frozenset(nodes), frozenset(serving), floor)


def _sizes(plan: tuple[Wave, ...]) -> list[int]:
    return [len(wave.nodes) for wave in plan]


@pytest.mark.parametrize(
    ("wanted", "nodes", "meant"),
    [("50%", 3, 2), ("50%", 4, 2), ("0%", 9, 0), ("100%", 9, 9), ("100%", 200, 200), (1, 9, 1)],
)
def test_a_floor_is_a_number_or_a_share_rounded_up(wanted: int | str, nodes: int, meant: int) -> None:
    """Half of three nodes is two."""
    assert waves.floor(wanted, nodes) == meant


def test_canaries_then_growing_shares_then_the_rest() -> None:
    """Of nine serving nodes without a floor: one, a quarter and a half of the other eight, what is left."""
    nodes = _names(9)

    plan = waves.plan(nodes, [_ollama(nodes, nodes, 0)], canaries=1, fractions=[0.25, 0.5])

    assert _sizes(plan) == [1, 2, 4, 2]
    assert [wave.canary for wave in plan] == [True, False, False, False]
    assert [node for wave in plan for node in wave.nodes] == nodes


def test_the_floor_makes_waves_smaller() -> None:
    """Three nodes of which two must serve are changed one by one."""
    nodes = _names(3)

    assert _sizes(waves.plan(nodes, [_ollama(nodes, nodes, 2)], canaries=0, fractions=[])) == [1, 1, 1]


def test_a_fresh_fleet_costs_no_capacity() -> None:
    """Where nothing serves yet, the floor delays nothing; the canary goes first all the same."""
    nodes = _names(4)

    assert _sizes(waves.plan(nodes, [_ollama(nodes, [], 3)], canaries=1, fractions=[])) == [1, 3]


def test_a_mended_node_counts_for_the_next_wave() -> None:
    """With one node of three out of service and a floor of two, that node goes first and then makes room."""
    nodes = _names(3)

    plan = waves.plan(nodes, [_ollama(nodes, nodes[:2], 2)], canaries=0, fractions=[])

    assert [wave.nodes for wave in plan] == [("gpu-03",), ("gpu-01",), ("gpu-02",)]


def test_a_floor_that_cannot_be_held_is_a_problem_with_its_cure() -> None:
    """With a node of three down, no other may leave; the problem names the node, the floor and the way out."""
    nodes = _names(3)

    with pytest.raises(FloorError) as refused:
        waves.plan(nodes[:2], [_ollama(nodes, nodes[:2], 2)], canaries=1, fractions=[])

    problem = refused.value.problems[0]
    assert problem.what == "cannot be taken out: 1 of 3 nodes would serve ollama, its floor is 2"
    assert problem.cure == "Bring gpu-03 back into service, or lower the floor of ollama in group_data/."


def test_a_drained_node_does_not_make_room() -> None:
    """A node that an operator keeps out is changed, but is not counted on afterwards."""
    nodes = _names(3)
    known = waves.capacities({"ollama": nodes}, {"ollama": 2}, {"ollama": nodes}, withheld=["gpu-03"])

    with pytest.raises(FloorError):
        waves.plan(nodes, known, canaries=0, fractions=[])


@pytest.mark.parametrize(("reboot", "room"), [(False, True), (True, False)])
def test_a_node_that_waits_for_a_reboot_does_not_make_room(example: Fleet, reboot: bool, room: bool) -> None:
    """A change brings an engine back that was condemned; a GPU that its driver has given up stays where it is."""
    names = [node.name for node in example.with_role("gpu_nodes")]
    condemned = {service.name: "gpu:wedge" for service in example.services()}
    well = Observed(status={"generation": "a"})
    ill = Observed(status={"generation": "a", "condemned": condemned, "reboot_needed": reboot})
    known = plan.capacities(example, dict.fromkeys(names, well) | {names[0]: ill}, {})

    assert [capacity.allows([names[1]]) for capacity in known] == [False, False]
    assert [capacity.after([names[0]]).allows([names[1]]) for capacity in known] == [room, room]


def test_no_wave_begins_after_a_failure() -> None:
    """One failed node is enough."""
    assert waves.may_begin([])
    assert not waves.may_begin(["gpu-01"])


@st.composite
def _fleets(draw: st.DrawFn) -> tuple[list[str], list[Capacity], int, list[float]]:
    nodes = _names(draw(st.integers(1, 40)))
    some = st.lists(st.sampled_from(nodes), unique=True)
    capacities = []
    for service in ("ollama", "comfyui"):
        backends = draw(some)
        serving = [node for node in backends if draw(st.booleans())]
        capacities.append(
            Capacity(service, frozenset(backends), frozenset(serving), draw(st.integers(0, len(backends))))
        )
    changing = [node for node in nodes if draw(st.booleans())]
    shares = st.floats(0.01, 1)
    return changing, capacities, draw(st.integers(0, 5)), sorted(draw(st.lists(shares, max_size=4)))


@given(_fleets())
def test_every_plan_keeps_every_floor(fleet: tuple[list[str], list[Capacity], int, list[float]]) -> None:
    """Each node is in exactly one wave, and no wave takes a service below its floor; or a node truly cannot go."""
    changing, capacities, canaries, fractions = fleet
    try:
        plan = waves.plan(changing, capacities, canaries, fractions)
    except FloorError as error:
        refused = [problem.where for problem in error.problems]
    else:
        refused = []
    if refused:
        assert set(refused) <= set(changing)
        return

    assert sorted(node for wave in plan for node in wave.nodes) == sorted(changing)
    assert all(wave.nodes for wave in plan)
    assert not canaries or not plan or len(plan[0].nodes) <= canaries
    serving = {capacity.service: set(capacity.serving) for capacity in capacities}
    for wave in plan:
        for capacity in capacities:
            left = serving[capacity.service] - set(wave.nodes)
            assert left == serving[capacity.service] or len(left) >= capacity.floor
            serving[capacity.service] |= capacity.nodes & set(wave.nodes)


@given(_fleets())
def test_a_refusal_is_never_needless(fleet: tuple[list[str], list[Capacity], int, list[float]]) -> None:
    """Where going one by one, idle nodes first, would hold every floor, there is a plan."""
    changing, capacities, canaries, fractions = fleet
    now, waiting = list(capacities), list(changing)
    while movable := [node for node in waiting if all(capacity.allows([node]) for capacity in now)]:
        waiting.remove(movable[0])
        now = [capacity.after(movable[:1]) for capacity in now]
    if not waiting:
        assert sum(_sizes(waves.plan(changing, capacities, canaries, fractions))) == len(changing)


def _refusal(path: Path, *lines: str) -> str:
    """What the border says of a staging inventory of one GPU node with something added."""
    edge = '[("edge", {"ssh_hostname": "198.18.0.21"})]'
    groups = (f"gateways = {edge}", f"monitors = {edge}")
    path.write_text("\n".join((*groups, *lines)))
    with pytest.raises(load.RefusedError) as refused:
        load.from_file(str(path))
    return str(refused.value)


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        ("'50%'", "services.ollama.floor is '50%', so that 1 of 1 nodes must serve at all times"),
        ("'half'", "services.ollama.floor is 'half'. Write a number of nodes or one like 50%."),
        ("True", "services.ollama.floor is True, not a whole number or text"),
    ],
)
def test_a_floor_that_no_change_could_hold_is_refused_with_the_data(tmp_path: Path, floor: str, said: str) -> None:
    """Before any node is asked: a floor of all nodes, or one that is no floor."""
    overrides = f'"node_overrides": {{"ollama": {{"floor": {floor}}}}}'
    gpu = f'gpu_nodes = [("gpu-01", {{"ssh_hostname": "198.18.0.11", {overrides}}})]'

    assert said in _refusal(tmp_path / "staging.py", gpu)


def test_a_rollout_is_the_same_for_all_nodes_and_makes_sense(tmp_path: Path) -> None:
    """One node cannot have its own, and shares are shares."""
    own = '"rollout": {"canaries": -1, "fractions": [1.5], "lock_seconds": 5, "guard": "none"}'
    first, second = '"ssh_hostname": "198.18.0.11"', f'"ssh_hostname": "198.18.0.12", {own}'
    gpu = f'gpu_nodes = [("gpu-01", {{{first}}}), ("gpu-02", {{{second}}})]'

    said = _refusal(tmp_path / "staging.py", gpu)

    for what in ("differs from the first node's", "canaries is -1", "rollout.fractions", "lock_seconds is 5"):
        assert what in said


@pytest.mark.parametrize(
    ("nodes", "canary", "heading"),
    [
        (1, True, "gpu-01 (canary)"),
        (6, False, "gpu-01, gpu-02, gpu-03, gpu-04, gpu-05, gpu-06"),
        (7, False, "gpu-01, gpu-02, gpu-03, gpu-04, gpu-05, gpu-06 and 1 more"),
        (20, False, "gpu-01, gpu-02, gpu-03, gpu-04, gpu-05, gpu-06 and 14 more"),
    ],
)
def test_a_heading_names_a_few_nodes_and_counts_the_others(nodes: int, heading: str, *, canary: bool) -> None:
    """It stays one line for a fleet of any size."""
    assert str(Wave(tuple(_names(nodes)), canary)) == heading


def test_a_wave_is_no_canary_unless_it_is_said() -> None:
    """Its heading promises nothing else."""
    assert str(Wave(("gpu-01",))) == "gpu-01"


def test_a_change_of_one_node_has_no_canary() -> None:
    """Nobody waits to see it succeed."""
    assert [wave.canary for wave in waves.plan(["gpu-01"], [], canaries=1, fractions=[])] == [False]


@pytest.mark.parametrize(("serving", "floor"), [(4, 1), (4, 2)])
def test_a_wave_that_leaves_enough_is_let_begin(serving: int, floor: int) -> None:
    """More than the floor, and exactly the floor."""
    nodes = _names(serving)

    waves.check(Wave(tuple(nodes[:2])), [_ollama(nodes, nodes, floor)])


def test_a_wave_is_stopped_where_a_node_has_gone_since_it_was_planned() -> None:
    """The refusal counts what would serve, and names who could help."""
    nodes = _names(3)

    with pytest.raises(FloorError) as stopped:
        waves.check(Wave(("gpu-01",)), [_ollama(nodes, nodes[:2], 2), Capacity("comfyui", frozenset(), frozenset(), 0)])

    (problem,) = stopped.value.problems
    assert problem.what == "cannot be taken out: 1 of 3 nodes would serve ollama, its floor is 2"
    assert problem.cure == "Bring gpu-03 back into service, or lower the floor of ollama in group_data/."


def test_what_is_planned_cannot_be_altered() -> None:
    """A wave and a capacity are values: a plan that was shown is the plan that is carried out."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Wave(("gpu-01",)).canary = True  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        _ollama([], [], 0).floor = 1  # type: ignore[misc]

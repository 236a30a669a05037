"""Rise, fall, draining and failing open, without a clock or a net."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipex_node.gateway.rotation import Gathering, Heard, Rotation, differences, gets_nothing, is_urgent

NODES = ("gpu-01", "gpu-02", "gpu-03")
GOOD = Heard(services={"ollama": True})
SICK = Heard(services={"ollama": False})
SILENT = Heard(silence="no answer within 0.8 s")
DRAINS = Heard(reason="draining: new disk", services={"ollama": True})
ACTIVATES = Heard(reason="activating", services={"ollama": True})


def _rotation(*nodes: str) -> Rotation:
    """Return a service whose nodes have all been heard well."""
    rotation = Rotation({"ollama": nodes or NODES}, rise=2, fall=2, fail_open_share=0.5)
    _round(rotation)
    return rotation


def _round(rotation: Rotation, **heard: Heard) -> dict[str, str]:
    """Ask every node once; those that are not named (gpu_01) answer well."""
    for node in rotation.members["ollama"]:
        rotation.hear(node, heard.get(node.replace("-", "_"), GOOD))
    return {**rotation.treatments()["ollama"]}


def _all_in(**other: str) -> dict[str, str]:
    return dict.fromkeys(NODES, "in") | {node.replace("_", "-"): how for node, how in other.items()}


def test_a_node_that_drains_gets_no_new_work_at_once() -> None:
    """One answer is enough, and the others stay."""
    assert _round(_rotation(), gpu_02=DRAINS) == _all_in(gpu_02="draining")


def test_a_node_that_activates_gets_nothing_at_once() -> None:
    """Its engines are about to restart: nothing a session has there outlives that."""
    assert _round(_rotation(), gpu_02=ACTIVATES) == _all_in(gpu_02="out")


def test_a_node_that_falls_silent_while_it_drains_gets_nothing() -> None:
    """A machine that dies on its way out is no longer there for sessions either."""
    rotation = _rotation()
    steps = [_round(rotation, gpu_02=heard)["gpu-02"] for heard in (DRAINS, SILENT, SILENT)]

    assert steps == ["draining", "draining", "out"]


def test_a_session_keeps_a_draining_node_whose_engine_is_slow_once() -> None:
    """A busy engine that misses one question while it ends its work is not taken from those who wait for it."""
    slow = Heard(reason="draining", services={"ollama": False})
    rotation = _rotation()
    steps = [_round(rotation, gpu_02=heard)["gpu-02"] for heard in (DRAINS, slow, DRAINS, slow, slow)]

    assert steps == ["draining", "draining", "draining", "draining", "out"]


@pytest.mark.parametrize("bad", [SICK, SILENT])
def test_a_node_falls_after_as_many_questions_as_fall_says(bad: Heard) -> None:
    """One question without a good answer is nothing; the second in a row takes the node out."""
    rotation = _rotation()

    assert [_round(rotation, gpu_01=bad)["gpu-01"] for _ in range(2)] == ["in", "out"]


def test_a_good_answer_between_two_bad_ones_keeps_a_node() -> None:
    """Only bad answers in a row count."""
    rotation = _rotation()

    assert [_round(rotation, gpu_01=heard)["gpu-01"] for heard in (SILENT, GOOD, SILENT, GOOD)] == ["in"] * 4


@pytest.mark.parametrize("reason", [DRAINS, ACTIVATES, SILENT])
def test_a_node_rises_after_as_many_answers_as_rise_says(reason: Heard) -> None:
    """Whatever took it out, two good answers in a row bring it back."""
    rotation = _rotation()
    _round(rotation, gpu_03=reason)
    _round(rotation, gpu_03=reason)

    assert [_round(rotation)["gpu-03"] == "in" for _ in range(2)] == [False, True]


def test_one_sick_service_does_not_take_the_others_of_its_node() -> None:
    """Services are judged one by one."""
    rotation = Rotation({"ollama": NODES, "comfyui": NODES}, rise=2, fall=2, fail_open_share=0.5)
    for heard in [Heard(services={"ollama": True, "comfyui": node != "gpu-01"}) for node in NODES * 2]:
        rotation.hear(NODES[0] if not heard.services["comfyui"] else NODES[1], heard)
        rotation.hear(NODES[2], Heard(services={"ollama": True, "comfyui": True}))

    assert rotation.treatments()["ollama"]["gpu-01"] == "in"
    assert rotation.treatments()["comfyui"]["gpu-01"] == "out"


def test_more_than_the_share_at_once_are_kept() -> None:
    """Two of three that look down in the same moment may be the gateway's own fault: the last good set stays."""
    rotation = _rotation()
    for _ in range(5):
        now = _round(rotation, gpu_01=SILENT, gpu_02=SICK)

    assert now == _all_in()
    assert rotation.held == {"ollama": ("gpu-01", "gpu-02")}


def test_the_share_is_of_those_in_rotation() -> None:
    """One after the other, nodes may go until two are left; the one that then is the last stays."""
    rotation = _rotation()
    for _ in range(2):
        first = _round(rotation, gpu_01=SILENT)
    for _ in range(2):
        second = _round(rotation, gpu_01=SILENT, gpu_02=SILENT)
    for _ in range(2):
        third = _round(rotation, gpu_01=SILENT, gpu_02=SILENT, gpu_03=SILENT)

    assert first == _all_in(gpu_01="out")
    assert second == third == _all_in(gpu_01="out", gpu_02="out")


def test_when_fewer_look_down_the_rest_falls() -> None:
    """As soon as the gateway can believe itself again, who is still silent is taken out."""
    rotation = _rotation()
    for _ in range(3):
        _round(rotation, gpu_01=SILENT, gpu_02=SILENT)

    assert _round(rotation, gpu_01=SILENT) == _all_in(gpu_01="out")
    assert rotation.held == {"ollama": ()}


def test_every_node_may_drain() -> None:
    """A node that says so is believed, even if it is the last."""
    assert set(_round(_rotation(), gpu_01=DRAINS, gpu_02=DRAINS, gpu_03=DRAINS).values()) == {"draining"}


def test_at_the_first_question_a_dead_node_is_out_and_a_good_one_is_in() -> None:
    """After a reboot of the gateway nothing is known, and no traffic waits for counts."""
    rotation = Rotation({"ollama": NODES}, rise=2, fall=2, fail_open_share=0.5)

    assert _round(rotation, gpu_01=SILENT) == _all_in(gpu_01="out")


def test_a_program_started_anew_goes_on_with_what_it_knew() -> None:
    """Who was out needs its rise, who was in its fall."""
    before = {"ollama": {"gpu-01": "out", "gpu-02": "in", "gpu-03": "draining"}}
    rotation = Rotation({"ollama": NODES}, rise=2, fall=2, fail_open_share=0.5, before=before)  # type: ignore[arg-type]

    assert _round(rotation, gpu_02=SILENT) == {"gpu-01": "out", "gpu-02": "in", "gpu-03": "draining"}


@given(st.lists(st.tuples(*[st.sampled_from([GOOD, SICK, SILENT, DRAINS, ACTIVATES])] * 3), max_size=40))
def test_whatever_is_heard(rounds: list[tuple[Heard, Heard, Heard]]) -> None:
    """A wish is always granted, two good answers always suffice, and a round of silence never empties a service."""
    rotation = _rotation()
    last = _all_in()
    for number, heard in enumerate(rounds):
        now = _round(rotation, **dict(zip(("gpu_01", "gpu_02", "gpu_03"), heard, strict=True)))
        for place, node in enumerate(NODES):
            if heard[place].reason:
                assert now[node] != "in"
            if number and heard[place] == rounds[number - 1][place] == GOOD:
                assert now[node] == "in"
        if "in" in last.values() and not any(one.reason for one in heard):
            assert "in" in now.values()
        last = now


def test_only_what_leaves_is_urgent() -> None:
    """A return may wait for others, and so may the step from draining to out."""
    loaded = {"ollama": {"gpu-01": "in", "gpu-02": "draining"}}

    assert is_urgent(loaded, {"ollama": {"gpu-01": "draining", "gpu-02": "draining"}})  # type: ignore[arg-type]
    assert not is_urgent(loaded, {"ollama": {"gpu-01": "in", "gpu-02": "in"}})  # type: ignore[arg-type]
    assert not is_urgent(loaded, {"ollama": {"gpu-01": "in", "gpu-02": "out"}})  # type: ignore[arg-type]


def test_a_node_gets_nothing_only_when_no_service_of_it_is_in() -> None:
    """What a gateway tells a node of itself is about all its services, as nginx has loaded them."""
    loaded = {"ollama": {"gpu-01": "out", "gpu-02": "in"}, "comfyui": {"gpu-01": "draining", "gpu-02": "out"}}

    assert gets_nothing(loaded, "gpu-01")  # type: ignore[arg-type]
    assert not gets_nothing(loaded, "gpu-02")  # type: ignore[arg-type]
    assert not gets_nothing({}, "gpu-01")


def test_differences_name_service_node_and_treatment() -> None:
    """Only what is treated otherwise than before is told."""
    old, new = {"ollama": {"gpu-01": "in", "gpu-02": "in"}}, {"ollama": {"gpu-01": "in", "gpu-02": "out"}}

    assert list(differences(old, new)) == [("ollama", "gpu-02", "out")]  # type: ignore[arg-type]


def test_a_change_in_no_hurry_waits_for_others() -> None:
    """The first waits its time, those that come meanwhile go with it, and the next waits anew."""
    gathering = Gathering(1)
    due = [gathering.is_due(now, waiting=True, urgent=False) for now in (10.0, 10.5, 11.0)]
    done = gathering.is_due(11.1, waiting=False, urgent=False)

    assert due == [False, False, True]
    assert not done
    assert not gathering.is_due(11.2, waiting=True, urgent=False)
    assert gathering.left(11.5) == pytest.approx(0.7)


def test_an_urgent_change_goes_at_once_and_takes_along_what_waits() -> None:
    """A node that drains is not kept waiting by one that returns."""
    gathering = Gathering(1)
    gathering.is_due(10.0, waiting=True, urgent=False)

    assert gathering.is_due(10.1, waiting=True, urgent=True)

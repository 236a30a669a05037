"""A setting on trial never stays: whoever looks next ends it."""

import json

from ipex_node import deadman, marker, recovery
from ipex_node.failure import FailedError
from ipex_node.optimizer import trial
from tests.ipex_node.fake_node import OLLAMA, FakeNode

DROP_IN = f"/run/systemd/system/{OLLAMA}.d/ipex-trial.conf"
SETTING = {"OLLAMA_NUM_PARALLEL": "4"}


def test_a_setting_on_trial_is_a_drop_in_and_a_restart(node: FakeNode, served: str) -> None:
    """The engine's own unit, with one more variable; systemd reads it before the engine starts."""
    assert served
    node.asked.clear()
    trial.put(node.world, OLLAMA, SETTING)

    assert 'Environment="OLLAMA_NUM_PARALLEL=4"' in node.on(DROP_IN).read_text().splitlines()
    assert [command[1] for command in node.asked] == ["daemon-reload", "reset-failed", "restart"]
    assert trial.on_trial(node.world.paths) == OLLAMA


def test_a_tuner_that_was_killed_leaves_nothing(node: FakeNode, served: str) -> None:
    """The dead-man timer's look: the drop-in goes, the engine starts without it, the node returns to rotation."""
    assert served
    deadman.arm(node.world)
    marker.put_drain(node.world.paths, "measured", trial.BY)
    trial.put(node.world, OLLAMA, SETTING)
    node.asked.clear()

    status, answer = recovery.recover(node.world, node.check)

    assert (status, answer["recovered"]) == (0, "nothing")
    assert not node.on(DROP_IN).exists()
    assert node.did("restart") == {OLLAMA}
    assert trial.on_trial(node.world.paths) is None
    assert marker.rotation(node.world.paths)["state"] == "in"
    assert deadman.TIMER not in node.units


def test_killed_between_the_drop_in_and_the_restart_it_is_ended_all_the_same(node: FakeNode, served: str) -> None:
    """The record is there before the drop-in, and goes after the restart: either half is mended."""
    assert served
    trial.put(node.world, OLLAMA, SETTING)
    node.on(DROP_IN).unlink()
    node.asked.clear()

    assert trial.end(node.world)
    assert node.did("restart") == {OLLAMA}
    assert not trial.end(node.world)


def test_an_engine_that_does_not_start_keeps_the_record(node: FakeNode, served: str) -> None:
    """So that the next look tries again; until then the timer stays."""
    assert served
    deadman.arm(node.world)
    trial.put(node.world, OLLAMA, SETTING)
    node.breaks.append("systemctl restart")

    status = recovery_status(node)
    node.breaks.clear()

    assert status is None
    assert trial.on_trial(node.world.paths) == OLLAMA
    assert deadman.TIMER in node.units
    assert recovery_status(node) == 0
    assert trial.on_trial(node.world.paths) is None


def recovery_status(node: FakeNode) -> int | None:
    """Recover, and return the exit status; none where it could not."""
    try:
        return recovery.recover(node.world, node.check)[0]
    except FailedError:
        return None


def test_an_activation_ends_it_first(node: FakeNode, served: str) -> None:
    """A change of the node starts from the declared setting."""
    trial.put(node.world, OLLAMA, SETTING)

    status, _ = node.activate(served)

    assert status == 0
    assert trial.on_trial(node.world.paths) is None


def test_an_operators_drain_outlives_a_trial(node: FakeNode, served: str) -> None:
    """Whoever works on the node is not disturbed by a tuning's end."""
    assert served
    marker.put_drain(node.world.paths, "new memory", marker.OPERATOR)
    marker.put_drain(node.world.paths, "measured", trial.BY)
    trial.put(node.world, OLLAMA, SETTING)

    recovery.recover(node.world, node.check)

    left = json.loads(node.world.paths.drain.read_text())
    assert left["by"] == marker.OPERATOR

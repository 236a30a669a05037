"""A transaction that is killed anywhere: the node ends with the old generation or the new one, never neither."""

import json
import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ipex_node import activation, deadman, recovery, store, transaction
from tests.ipex_node import fake_node
from tests.ipex_node.fake_node import FakeNode, files
from tests.ipex_node.killable import Killable, activate_sick, activating, mortals, recover
from tests.ipex_node.transaction_steps import STEPS

KILLS = 20
"""For each step, at calls chosen at random but the same ones in every run."""
EXTRA = "/etc/systemd/system/extra.timer"


def _staged(node: FakeNode, bundles: Path, contents: dict[str, str], version: str, units: tuple[str, ...] = ()) -> str:
    raw = fake_node.manifest(contents, version)
    raw["units"] |= {name: {"enabled": True, "on_change": "restart", "inputs": [EXTRA]} for name in units}
    return node.stage(fake_node.bundle(bundles, contents, raw))


class Fleet:
    """A node that serves one generation, with another staged that differs in all a transaction can touch."""

    def __init__(self, it: Killable, bundles: Path) -> None:
        self.it = it
        self.old = _staged(it.node, bundles, files() | {EXTRA: "timer"}, "1", ("extra.timer",))
        assert it.node.activate(self.old)[0] == 0
        self.new = _staged(it.node, bundles, files("2", **{"deep/fresh": "new"}), "2")
        it.save()
        self.states = {self.old: it.state()}
        self.activate = activating(self.new)
        # The first of its kind also imports and fills caches, and so makes more calls than all that follow.
        it.calls(self.activate)
        self.steps = it.calls(self.activate)
        self.states[self.new] = it.state()

    def killed_in(self, step: str, chance: random.Random) -> None:
        """Kill the activation somewhere in a step."""
        begin = self.steps[step]
        end = min(call for call in self.steps.values() if call > begin)
        self.it.killed(self.activate, chance.randrange(begin, end))

    def serves(self) -> str:
        """Return which generation the node has: entirely, in service, and without a trace of the transaction."""
        state = self.it.state()
        found = next((name for name, wanted in self.states.items() if state == wanted), None)
        assert found, {name: _difference(state, wanted) for name, wanted in self.states.items()}
        status = self.it.node.status()
        assert (status["drift"], status["quarantined"]) == ([], {})
        assert status["rotation"]["state"] == "in"
        assert transaction.Journal(self.it.node.world.paths.journal).unfinished() == []
        assert not (self.it.node.world.paths.transaction / "data").exists()
        return found


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    keys = found.keys() | wanted.keys()
    return {key: (found.get(key), wanted.get(key)) for key in keys if found.get(key) != wanted.get(key)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """See `Fleet`; in memory where this machine has such a place: hundreds of nodes are copied."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made there
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as place, mortals() as processes:
        node = fake_node.machine(Path(place) / "node")
        it = Killable(Path(place) / "saved", node.root, processes)
        yield Fleet(it, tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def fleet(prepared: Fleet) -> Fleet:
    """As it was prepared."""
    prepared.it.again()
    return prepared


def test_the_sweep_knows_every_step(fleet: Fleet) -> None:
    """The steps of a whole activation are those that are killed below."""
    assert [step for step in fleet.steps if step] == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_killed_anywhere_the_node_is_old_or_new(fleet: Fleet, step: str) -> None:
    """SIGKILL at twenty places of each step, then recover: before the commit old, behind it new, and whole."""
    chance = random.Random(step)  # noqa: S311 - chance, no secret
    ends = set()
    for _ in range(KILLS):
        fleet.killed_in(step, chance)
        recover(fleet.it.node)
        ends.add(fleet.serves())
        assert recover(fleet.it.node)["recovered"] == "nothing"
    at = STEPS.index(step) - STEPS.index("commit")
    assert ends <= ({fleet.old} if at < 0 else {fleet.old, fleet.new} if at == 0 else {fleet.new})
    fleet.activate(fleet.it.node)
    assert fleet.serves() == fleet.new


@pytest.mark.parametrize(
    "step",
    [
        "leave rotation",
        "retire units",
        "snapshot the data",
        "install files",
        "start units",
        "probe",
        "commit",
    ],
)
def test_recovery_itself_may_be_killed(fleet: Fleet, step: str) -> None:
    """Killed while it recovers, twice in a row, the third attempt ends it."""
    chance = random.Random(step)  # noqa: S311 - chance, no secret
    torn = Killable(fleet.it.saved.with_name("torn"), fleet.it.root, fleet.it.mortals)
    for _ in range(KILLS // 5):
        fleet.killed_in(step, chance)
        for _ in range(2):
            torn.save()
            torn.killed(recover, chance.randrange(1, torn.calls(recover)[""]))
        recover(fleet.it.node)
        fleet.serves()


def test_giving_data_back_may_be_killed_anywhere(fleet: Fleet) -> None:
    """The new version has migrated its data; the way back is killed at forty places of each part, and done again."""
    cut_off(fleet, "probe")
    assert (fleet.it.node.on(fake_node.DATA) / "new").exists()
    torn = Killable(fleet.it.saved.with_name("torn"), fleet.it.root, fleet.it.mortals)
    torn.save()
    calls = torn.calls(recover)
    begin, back, end = calls["undo: snapshot the data"], calls["undo: retire units"], calls[""]
    for call in (*range(begin, back, (back - begin) // (2 * KILLS)), *range(back, end, (end - back) // (2 * KILLS))):
        torn.killed(recover, call)
        recover(fleet.it.node)
        assert fleet.serves() == fleet.old


def cut_off(fleet: Fleet, step: str) -> None:
    """Kill the activation in a step."""
    chance = random.Random(step)  # noqa: S311 - chance, no secret
    fleet.killed_in(step, chance)


def begin_line(fleet: Fleet, **changed: object) -> None:
    """Change what the journal says of the beginning."""
    path = fleet.it.node.world.paths.journal
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | changed), *rest, ""]))


def test_nothing_to_recover_is_said(fleet: Fleet) -> None:
    """On a node in peace recover changes nothing, and says so."""
    assert recover(fleet.it.node) == {
        "ok": True,
        "failures": [],
        "recovered": "nothing",
        "cause": "",
        "rolled_back": False,
        "steps": [],
    }
    assert fleet.serves() == fleet.old


def test_transaction_at_work_is_left_alone(fleet: Fleet) -> None:
    """The dead-man timer looks while the transaction lives: it goes on."""
    world = fleet.it.node.world
    with store.locked(world.paths, "activate x"):
        answer = recover(fleet.it.node)
    assert (answer["ok"], answer["recovered"]) == (True, "at work")


def test_transaction_that_hangs_is_killed_and_blamed(fleet: Fleet) -> None:
    """Beyond all its deadlines its process is killed, the node goes back, the generation is quarantined."""
    cut_off(fleet, "switch profiles")
    begin_line(fleet, seconds=-1)
    world = fleet.it.node.world
    ready, hold = os.pipe()
    child = os.fork()
    if child == 0:
        with store.locked(world.paths, f"activate {fleet.new}"):
            os.write(hold, b"1")
            signal.pause()
    os.read(ready, 1)
    reaper = threading.Thread(target=os.waitpid, args=(child, 0))
    reaper.start()

    answer = recover(fleet.it.node)

    reaper.join()
    assert answer["rolled_back"]
    assert fleet.it.state() == fleet.states[fleet.old]
    assert "had not ended after" in fleet.it.node.status()["quarantined"][fleet.new]["why"]


def test_power_cut_is_nobodys_fault(fleet: Fleet) -> None:
    """Another boot than the one it began in: taken back, told, not quarantined; units are not waited for."""
    cut_off(fleet, "start units")
    begin_line(fleet, boot="another")
    node = fleet.it.node
    _, answer = recovery.recover(node.world, node.check, at_boot=True)
    assert answer["cause"] == "the machine went down in the middle of it"
    restarts = [command for command in node.asked if command[1] == "restart"]
    assert restarts
    assert all("--no-block" in command for command in restarts)
    assert fleet.serves() == fleet.old


def test_failure_whose_way_back_was_cut_off_is_remembered(fleet: Fleet) -> None:
    """Failed by itself and killed while it went back: recovery goes on and quarantines it."""
    fail = partial(activate_sick, identity=fleet.new)
    calls = fleet.it.calls(fail)
    assert fleet.new in fleet.it.node.status()["quarantined"]
    for call in range(calls["undo"], calls[""], 300):
        fleet.it.killed(fail, call)
        recover(fleet.it.node)
        assert fleet.it.state() == fleet.states[fleet.old]
        assert fleet.it.node.status()["quarantined"][fleet.new]["why"].endswith("hangs")


def test_next_activation_recovers_first(fleet: Fleet) -> None:
    """Nobody recovered, and the next activation comes: it starts from a whole node."""
    cut_off(fleet, "switch profiles")
    fleet.activate(fleet.it.node)
    assert fleet.serves() == fleet.new


def test_recovery_without_its_record_says_so(fleet: Fleet) -> None:
    """A record that somebody has removed is exit status 2, once; the next activation mends what it finds."""
    cut_off(fleet, "start units")
    shutil.rmtree(fleet.it.node.world.paths.transaction)
    node = fleet.it.node
    status, answer = recovery.recover(node.world, node.check)
    assert (status, answer["ok"]) == (2, False)
    assert "situation.json" in answer["failures"][0]["what"]
    assert recover(node)["recovered"] == "nothing"
    fleet.activate(fleet.it.node)
    assert fleet.it.node.status()["drift"] == []


def test_unarmed_timer_changes_nothing(fleet: Fleet) -> None:
    """Where the dead-man timer cannot be armed, nothing is touched and nobody is blamed."""
    node = fleet.it.node
    node.breaks = ["systemd-run"]
    status, answer = activation.activate(node.world, fleet.new, node.check)
    assert (status, answer["rolled_back"]) == (1, False)
    assert "dead-man timer" in answer["failures"][0]["why"]
    assert fleet.serves() == fleet.old


def test_timer_is_armed_before_anything_changes(fleet: Fleet) -> None:
    """The timer is the first thing that systemd is told, and the last that is taken away."""
    node = fleet.it.node
    activation.activate(node.world, fleet.new, node.check)
    done = [command for command in node.asked if command[:2] != ["systemctl", "show"] and command[0] != "refuse-bad"]
    assert done[0][0] == "systemd-run"
    assert done[-1] == ["systemctl", "stop", "--", deadman.TIMER]
    assert deadman.TIMER not in node.units

"""ComfyUI's history, queue and devices."""

import random
from typing import Any

import pytest

from ipex_node.engines import PROOF_SESSION
from ipex_node.traffic.comfyui import History, devices, finished, queued
from ipex_node.traffic.counts import Finished
from tests.ipex_node.traffic.test_ollama import anything


def entry(end: str = "execution_success", client: str = "browser", **extra: Any) -> dict[str, Any]:
    """A finished prompt: queued at 1 s, begun at 3 s, ended at 6.5 s."""
    asked = {"client_id": client, "create_time": 1000, **extra}
    return {
        "prompt": [4, "id", {"1": {"class_type": "KSampler", "inputs": {"text": "a secret"}}}, asked, ["9"]],
        "outputs": {},
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [
                ["execution_start", {"prompt_id": "id", "timestamp": 3000}],
                ["execution_cached", {"nodes": [], "prompt_id": "id", "timestamp": 3001}],
                [end, {"prompt_id": "id", "timestamp": 6500}],
            ],
        },
        "meta": {},
    }


class Engine:
    """Answers for a history, newest last."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.asked: list[str] = []
        self.most = 1000

    def ask(self, path: str) -> Any:
        """Answer as server.py does; nothing where more is asked for than fits into an answer."""
        self.asked.append(path)
        size = int(path.rpartition("=")[2])
        return dict(list(self.entries.items())[-size:]) if size <= self.most else None

    def finish(self, count: int) -> None:
        """Let prompts end."""
        for _ in range(count):
            self.entries[f"{len(self.entries):032}"] = entry()


@pytest.mark.parametrize(
    ("end", "outcome"),
    [("execution_success", "success"), ("execution_error", "error"), ("execution_interrupted", "cancelled")],
)
def test_how_a_prompt_ended(end: str, outcome: str) -> None:
    """The wait in the queue is part of what the user waited."""
    assert finished(entry(end)) == Finished("generate", outcome, 5.5)  # type: ignore[arg-type]


def test_a_version_that_does_not_say_when_it_was_queued() -> None:
    """Then the time of execution is what can be known."""
    old = entry()
    del old["prompt"][3]["create_time"]
    assert finished(old) == Finished("generate", "success", 3.5)


@pytest.mark.parametrize("moment", [9000, "1", None, 10**30, True])
def test_a_moment_that_cannot_be(moment: object) -> None:
    """A clock that was set back, or garbage, leaves the request counted and its duration unknown."""
    assert finished(entry(create_time=moment)) in {
        Finished("generate", "success", None),
        Finished("generate", "success", 6.499),
    }


def test_the_nodes_own_proofs_are_no_traffic() -> None:
    """A proof is known by its client id."""
    assert finished(entry(client=f"{PROOF_SESSION}1")) is None


def test_each_prompt_is_counted_once() -> None:
    """What lay there before the first look is not; a burst is, whole; a quiet look asks for one entry."""
    engine = Engine()
    engine.finish(100)
    history = History(engine.ask)
    assert list(history.new()) == []
    engine.finish(20)
    assert len(list(history.new())) == 20
    engine.asked.clear()
    assert list(history.new()) == []
    assert engine.asked == ["/history?max_items=1"]
    engine.entries.clear()
    assert list(history.new()) == []
    engine.entries["after a restart"] = entry()
    assert len(list(history.new())) == 1


def test_history_too_long_for_one_answer() -> None:
    """What fits is counted."""
    engine = Engine()
    engine.most = 8
    engine.finish(50)
    history = History(engine.ask)
    assert list(history.new()) == []
    engine.finish(3)
    assert len(list(history.new())) == 3


def test_silence_is_no_first_look() -> None:
    """An engine that comes up later has its history of before skipped, not counted."""
    engine = Engine()
    engine.most = 0
    history = History(engine.ask)
    assert list(history.new()) == []
    engine.most = 64
    engine.finish(5)
    assert list(history.new()) == []
    engine.finish(1)
    assert len(list(history.new())) == 1


def test_what_is_remembered_is_bounded() -> None:
    """However many prompts end, and however long their names are."""
    engine = Engine()
    history = History(engine.ask)
    for number in range(100):
        engine.entries = {f"{number}-{place}" + "x" * 1000: entry() for place in range(64)}
        list(history.new())
    assert len(history._known) == 1024
    assert max(map(len, history._known)) == 64


def test_queue_and_devices() -> None:
    """Running and waiting prompts; devices by kind, whatever the index."""
    assert queued({"queue_running": [1], "queue_pending": [1, 2]}) == 3
    assert queued({"queue_running": [1]}) is None
    said = {"devices": [{"type": "xpu"}, {"type": "xpu:1"}, {"type": "cpu"}, {"type": "toaster"}]}
    assert {one.labels["kind"]: one.value for one in devices("comfyui", said)} == {"xpu": 2, "cpu": 1, "other": 1}


def test_no_garbage_escapes() -> None:
    """Ten thousand answers that are no history, queue or list of devices."""
    dice = random.Random(8)  # noqa: S311 - a repeatable test
    for _ in range(10_000):
        found = finished(broken(dice))
        assert found is None or found.seconds is None or found.seconds >= 0
        said = anything(dice)
        queued(said)
        assert len(list(devices("comfyui", said))) <= 4
        assert len(list(History(lambda _, said=said: said).new())) == 0  # type: ignore[misc]


def broken(dice: random.Random) -> Any:
    """An entry with something in it replaced."""
    whole = entry()
    if dice.random() < 0.2:
        return anything(dice)
    place = dice.choice(("prompt", "status"))
    if dice.random() < 0.3:
        whole[place] = anything(dice)
    elif place == "prompt":
        whole["prompt"][3] = dice.choice((anything(dice), {"create_time": anything(dice), "client_id": anything(dice)}))
    else:
        pair = dice.choice((anything(dice), [anything(dice), anything(dice)], ["execution_error", anything(dice)]))
        whole["status"]["messages"][dice.randrange(3)] = pair
    return whole

"""The narrow door, and what stands in the way of a repair."""

import errno
import json
from pathlib import Path

import pytest

from ipex_node import engines, files, marker
from ipex_node.failure import failed
from ipex_node.health import memory, verdict
from ipex_node.health.verdict import Verdict
from tests.ipex_node.health.box import GENERATE, HEALTH, Box, healthy, on_cpu, refuse
from tests.ipex_node.tiny_server import Handler


def test_a_shut_door_is_told_and_condemns_nobody_for_good(box: Box) -> None:
    """Where nobody restarts the engine it stays out, run after run; what was not restarted costs nothing."""
    box.stopped.set()
    box.engine.answers["GET /api/ps"] = on_cpu
    for _ in range(HEALTH["restarts"] + 2):
        answered = box.check()
        assert "was not restarted" in answered["failures"][0]["why"]
        assert "ipex-restart@ollama-ipex.path" in answered["failures"][0]["cure"]
    (held,) = verdict.read(box.node.world.paths.verdict).services.values()
    assert not held.final
    assert "computes on the CPU" in box.out
    assert box.counted("ipex_health_budget_left") == {"ollama": HEALTH["restarts"]}


def test_an_engine_that_does_not_start_again_is_no_shut_door(box: Box) -> None:
    """It was stopped: the restart counts, and has not helped."""
    box.stopped.set()
    box.engine.answers["GET /api/ps"] = on_cpu
    link = box.node.world.paths.running_units / "invocation:ollama-ipex.service"
    request = box.node.world.paths.health / "restart-ollama-ipex"
    box.stopped.set()
    with pytest.MonkeyPatch.context() as patch:
        write = Path.write_text

        def stops(path: Path, *words: str, **more: str) -> int:
            if path == request:
                link.unlink()
            return write(path, *words, **more)

        patch.setattr(Path, "write_text", stops)
        box.check()
    assert verdict.read(box.node.world.paths.verdict).services["ollama"].final
    assert box.counted("ipex_health_budget_left") == {"ollama": HEALTH["restarts"] - 1}


def test_a_request_that_cannot_be_written_is_told(box: Box) -> None:
    """Where something else stands in its place, the run goes on to its end and says so."""
    (box.node.world.paths.health / "restart-ollama-ipex").mkdir()
    box.stopped.set()
    box.engine.answers[GENERATE] = refuse
    told = box.check()["failures"][0]
    assert (told["why"], told["cure"]) == ("cannot be written: Is a directory", "remove it, as root")


@pytest.mark.parametrize("words", ["\ud800", "x" * 2_000_000, "\x1b[2J\n"], ids=["surrogate", "long", "terminal"])
def test_an_engines_own_words_stop_no_repair(box: Box, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Half a letter, two megabytes, a terminal's commands: what goes on is short, and can be written and shown."""
    seen: list[str] = []

    def check(*_: object, **__: object) -> None:
        if not seen:
            raise failed("GET /api/tags", f"model tiny is not there; there are: {words}")

    monkeypatch.setattr(engines, "check", check)
    box.on_restart = lambda: seen.append(box.out)
    assert box.check()["restarted"] == ["ollama"]
    assert box.restarts == ["ollama:generates"]
    assert seen[0].startswith("ollama is out: ollama:generates: GET /api/tags: model tiny is not there")
    assert len(seen[0]) < 400
    assert seen[0].isprintable()


@pytest.mark.parametrize("place", ["reason", "check", "since"])
def test_another_programs_verdict_is_washed_too(box: Box, place: str) -> None:
    """The agent reads a file of a user with other rights."""
    held = {"check": "a", "reason": "b", "since": "c", "final": False, "generation": None, place: "\ud800\n" * 9999}
    content = json.dumps({"node": None, "services": {"ollama": held}, "failing": []})
    box.node.world.paths.verdict.write_text(content)
    read = vars(verdict.read(box.node.world.paths.verdict).services["ollama"])[place]
    assert (len(read), read.isprintable()) == (300, True)


def _full_disk(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    write, kept = files.write, box.node.world.paths.health_memory

    def full(path: Path, *words: bytes) -> None:
        if path == kept:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "write", full)


def test_a_full_disk_stops_no_repair(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is restarted and proved, the numbers are left, and what is wrong is said."""
    _full_disk(box, monkeypatch)
    box.engine.answers[GENERATE] = refuse
    box.on_restart = lambda: healthy(box.engine)
    answered = box.check()
    assert answered["restarted"] == ["ollama"]
    (failure,) = answered["failures"]
    assert failure["why"] == "cannot be written: No space left on device"
    assert box.counted("ipex_health_restarts_total") == {"ollama": 1}


def test_a_full_disk_grants_no_restarts(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget holds until the next boot; and once there is room, the disk has it again."""
    with monkeypatch.context() as full:
        _full_disk(box, full)
        box.engine.answers[GENERATE] = refuse
        for _ in range(HEALTH["restarts"] + 2):
            box.check()
    assert len(box.restarts) == HEALTH["restarts"]
    paths = box.node.world.paths
    assert not paths.health_memory.exists()
    box.check()
    assert memory.load(paths).restarts == {"ollama": HEALTH["restarts"]}
    assert [path for path in paths.health.iterdir() if "memory" in path.name] == []


def test_nobody_is_given_up_while_somebody_works_on_the_node(box: Box) -> None:
    """A change that begins during the proof is why the engine does not answer: nothing is held against it."""

    def meanwhile(handler: Handler) -> None:
        marker.put_activating(box.node.world.paths, "x")
        on_cpu(handler)

    def restart() -> None:
        box.engine.answers["GET /api/ps"] = meanwhile

    box.engine.answers["GET /api/ps"] = on_cpu
    box.on_restart = restart
    box.check()
    assert len(box.restarts) == 1
    assert verdict.read(box.node.world.paths.verdict) == Verdict()

"""An engine that cannot be proved and is not ill: it works for its users, or has only just been started."""

import json
import time
from collections.abc import Callable

import pytest

from ipex_node import in_flight
from ipex_node.health import checks, run, verdict
from ipex_node.health.verdict import Condemned, Verdict
from ipex_node.settings import Service
from tests.ipex_node.fake_node import SERVICE
from tests.ipex_node.health.box import GENERATE, SECONDS, Box, hang, healthy, refuse
from tests.ipex_node.tiny_server import Handler

LONG = 3600.0


def _full(handler: Handler) -> None:
    handler.say(503, {"error": "server busy, please try again.  maximum pending requests exceeded"})


def _meanwhile(box: Box, answer: Callable[[Handler], None], **counted: float) -> None:
    """Let a proof be answered so, and the samplers count something while it is."""
    box.sampled()

    def act(handler: Handler) -> None:
        box.sampled(**counted)  # type: ignore[arg-type]
        answer(handler)

    box.engine.answers[GENERATE] = act


@pytest.mark.parametrize("answer", [hang, _full], ids=["waits", "queue-full"])
def test_an_engine_that_serves_its_users_is_busy(box: Box, answer: Callable[[Handler], None]) -> None:
    """It is neither restarted nor out, for as many runs as declared; then it is ill."""
    _meanwhile(box, answer, succeeded=1)
    assert box.check()["checks"] == {"ollama": "busy"}
    assert (box.restarts, box.out) == ([], "")
    assert verdict.read(box.node.world.paths.verdict).failing == ()
    box.sampled()
    box.check()
    assert len(box.restarts) == 1


def test_tokens_alone_are_no_excuse(box: Box) -> None:
    """They may be those of an earlier proof, which the sampler has counted only now."""
    _meanwhile(box, hang, tokens=5)
    box.check()
    assert len(box.restarts) == 1


def test_one_long_job_is_not_killed(box: Box) -> None:
    """Nothing ends during the proof, and the GPU computes: the job goes on, and so does the engine."""
    box.connect("1000")
    _meanwhile(box, hang, gpu_seconds=SECONDS)
    assert box.check()["checks"] == {"ollama": "busy"}
    assert (box.restarts, box.out) == ([], "")


def test_one_long_job_of_comfyui_is_not_killed(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also beside an Ollama with work of its own: a video takes longer than a proof."""
    _beside(box, monkeypatch, {"ollama": ("a",), "comfyui": ("b",)}, engine="comfyui")
    _meanwhile(box, hang, gpu_seconds=SECONDS)
    assert box.check()["checks"]["ollama"] == "busy"


def _beside(
    box: Box, monkeypatch: pytest.MonkeyPatch, jobs: dict[str, tuple[str, ...]], engine: str = "ollama"
) -> None:
    """Give the node a second service, and both some work."""
    path = box.node.world.paths.settings
    raw = json.loads(path.read_text())
    raw["services"][0]["engine"] = engine
    raw["services"].append({**SERVICE, "name": "comfyui", "engine": "http", "port": 1, "unit": "comfyui-ipex.service"})
    path.write_text(json.dumps(raw))
    box.set(restarts=1, leave_seconds=0)
    monkeypatch.setattr(in_flight, "work", lambda service, _: frozenset(jobs[service.name]))


def test_another_engines_work_is_no_excuse(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ollama's requests are short: where none ends, the GPU's work is ComfyUI's."""
    _beside(box, monkeypatch, {"ollama": ("a",), "comfyui": ("b",)})
    _meanwhile(box, hang, gpu_seconds=SECONDS)
    box.on_restart = lambda: healthy(box.engine)
    assert box.check()["checks"]["ollama"] == "ollama:generates"


@pytest.mark.parametrize(
    ("counted", "jobs"),
    [
        ({}, ("1000", "1001")),
        ({"gpu_seconds": SECONDS}, ()),
        ({"gpu_seconds": SECONDS / 100}, ("1000",)),
        ({"refused": 9}, ("1000",)),
    ],
    ids=["nothing-done", "nobody-there", "the-proofs-own-beginning", "errors"],
)
def test_a_hang_is_no_work(box: Box, counted: dict[str, float], jobs: tuple[str, ...]) -> None:
    """Waiting users, a GPU that works for nobody, or requests that end in errors, excuse nothing."""
    box.connect(*jobs)
    _meanwhile(box, hang, **counted)
    box.on_restart = lambda: healthy(box.engine)
    assert box.check()["restarted"] == ["ollama"]


def test_a_client_that_loses_its_patience_is_no_work(box: Box) -> None:
    """A connection that goes, and one that comes, say nothing of the engine."""
    number = iter(range(1000, 2000))

    def answer(handler: Handler) -> None:
        box.connect(str(next(number)))
        hang(handler)

    box.connect("0999")
    box.sampled()
    box.engine.answers[GENERATE] = answer
    box.on_restart = lambda: healthy(box.engine)
    assert box.check()["restarted"] == ["ollama"]


def test_a_quick_failure_is_no_sign_of_being_busy(box: Box) -> None:
    """An engine whose GPU is lost may still answer what needs none."""
    _meanwhile(box, refuse, succeeded=3)
    box.on_restart = lambda: healthy(box.engine)
    assert box.check()["restarted"] == ["ollama"]


def test_an_excuse_takes_nothing_back(box: Box) -> None:
    """What is out of rotation comes back by a proof, and by nothing else."""
    held = Verdict(services={"ollama": Condemned("ollama:generates", "hung")})
    verdict.write(box.node.world.paths.verdict, held)
    _meanwhile(box, hang, succeeded=1)
    box.check()
    assert "ollama:generates: hung" in box.out


def _young(box: Box, monkeypatch: pytest.MonkeyPatch, level: str, seconds_ago: float = 1) -> None:
    """Start the engine a moment ago, with a minute for its proof; it is not yet so far."""
    monkeypatch.setattr(checks.Checks, "_seconds", lambda *_: 60.0)
    box.start("anew", seconds_ago)
    if level == "port":
        path = box.node.world.paths.settings
        raw = json.loads(path.read_text())
        raw["services"][0]["port"] = 1
        path.write_text(json.dumps(raw))
    else:
        box.engine.answers["GET /api/tags"] = refuse


@pytest.mark.parametrize("level", ["port", "api"])
def test_an_engine_that_is_only_starting_is_let(box: Box, monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    """It does not listen yet, or does not answer yet: nothing is held against it, until it has had its time."""
    _young(box, monkeypatch, level)
    answered = box.check()
    assert (answered["ok"], answered["checks"]) == (True, {"ollama": "starting"})
    assert (box.restarts, box.out) == ([], "")
    monkeypatch.setattr(checks.Checks, "_seconds", lambda *_: 0.5)
    box.check()
    assert box.restarts == [f"ollama:{level}"]


@pytest.mark.parametrize("seconds_ago", [61, -3600], ids=["old", "before-the-clock-was-set"])
def test_one_that_was_started_long_ago_is_ill(box: Box, monkeypatch: pytest.MonkeyPatch, seconds_ago: float) -> None:
    """Older than its proof may take; and a clock that was set back does not make it young for an hour."""
    _young(box, monkeypatch, "api", seconds_ago)
    box.on_restart = lambda: healthy(box.engine)
    assert box.check()["restarted"] == ["ollama"]


def test_one_that_starts_again_and_again_is_ill(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that flaps is always young: believed for as many runs as a busy one."""
    _young(box, monkeypatch, "api")
    box.on_restart = lambda: healthy(box.engine)
    assert [box.check()["checks"]["ollama"] for _ in range(2)] == ["starting", "ollama:api"]
    assert len(box.restarts) == 1


def test_all_tries_together_have_the_time_of_one_proof(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that fails late is not given its whole time at every try."""
    until: list[float] = []
    look = checks.Checks.look

    def looks(it: checks.Checks, service: Service, moment: float) -> checks.Finding:
        until.append(moment)
        return look(it, service, moment)

    def late(handler: Handler) -> None:
        time.sleep(0.5)
        refuse(handler)

    monkeypatch.setattr(checks.Checks, "_seconds", lambda *_: 1.0)
    monkeypatch.setattr(checks.Checks, "look", looks)
    monkeypatch.setattr(run.Monitor, "_treat", lambda *_: None)
    box.set(tries=9)
    box.engine.answers[GENERATE] = late
    assert box.check()["checks"] == {"ollama": "ollama:generates"}
    assert (len(until), len(set(until))) == (2, 1)


def test_a_unit_that_goes_while_it_is_looked_at_does_not_run(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look for systemd's link and the look at it, the unit has ended."""
    monkeypatch.setattr("pathlib.Path.is_symlink", lambda _: True)
    (box.node.world.paths.running_units / f"invocation:{SERVICE['unit']}").unlink()
    assert box.check()["checks"] == {"ollama": "ollama:runs"}

"""What the monitor leaves for the agent, and what the agent believes."""

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ipex_node.agent import Agent
from ipex_node.health import verdict
from ipex_node.health.verdict import Condemned, Verdict
from ipex_node.readiness import Gateways, Readiness
from ipex_node.settings import Service, Settings
from tests.ipex_node.fake_node import FakeNode
from tools.recorded import ROWS

HANGS = Condemned("ollama:generates", "no answer before the deadline", "2026-11-23", generation="abc")
WEDGED = Condemned("gpu:wedge", "reboot needed", "2026-11-23", final=True, doubted_until=math.inf)
GIVEN_UP = replace(HANGS, final=True, doubted_until=math.inf)
SERVICES = (Service("ollama", 11434, "/api/tags"), Service("comfyui", 8188, "/system_stats"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """All of it comes back."""
    path = tmp_path / "verdict.json"
    whole = Verdict(WEDGED, {"ollama": HANGS}, ("gpu:wedge", "ollama:generates"))
    verdict.write(path, whole)
    assert verdict.read(path) == whole


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"node": 1, "services": {}, "failing": []}', b"\xff", b"[" * 60_000]
)
def test_a_damaged_verdict_holds_nothing_against_a_node(tmp_path: Path, content: bytes) -> None:
    """A node is not lost for a broken file."""
    path = tmp_path / "verdict.json"
    path.write_bytes(content)
    assert verdict.read(path) == Verdict()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (["ollama:generates", "gpu:wedge", "ollama:generates"], ("gpu:wedge", "ollama:generates")),
        (["ollama generates", "a:b&rotation=out", "", 3, "x" * 99 + ":y", None], ()),
        ("ollama:generates", ()),
        (None, ()),
        ([f"s{number}:runs" for number in range(99)], tuple(sorted(f"s{number}:runs" for number in range(99))[:16])),
    ],
)
def test_another_machines_words_are_bounded(said: object, kept: tuple[str, ...]) -> None:
    """Only names of checks are kept, and only so many."""
    assert verdict.checks(said) == kept


def _ready(node: FakeNode, held: Verdict, circuit: str = "") -> tuple[bool, dict[str, bool], str]:
    paths = node.world.paths
    verdict.write(paths.verdict, held)
    readiness = Readiness(paths, SERVICES, lambda _: True)
    readiness.gateways.hear("gateway-01", "in", "", circuit)
    answer = readiness.answer()
    assert answer["failing"] == held.failing
    return answer["ready"], answer["services"], answer["reason"]


def test_a_condemned_service_leaves_the_others_in(node: FakeNode) -> None:
    """It counts as down, with the reason, and the node stays ready for the rest."""
    ready, services, reason = _ready(node, Verdict(services={"ollama": HANGS}, failing=("ollama:generates",)))
    assert (ready, services) == (True, {"ollama": False, "comfyui": True})
    assert reason == "ollama is out: ollama:generates: no answer before the deadline"


def test_a_condemned_node_has_no_service(node: FakeNode) -> None:
    """It looks down and does not ask to be left out, so that gateways may keep it where the whole fleet looks so."""
    ready, services, reason = _ready(node, Verdict(WEDGED))
    assert (ready, services) == (False, {"ollama": False, "comfyui": False})
    assert reason.startswith("ollama is out: gpu:wedge: reboot needed; comfyui is out")


@pytest.mark.parametrize(
    "held", [Verdict(services={"ollama": HANGS}), Verdict(services={"ollama": GIVEN_UP}), Verdict(WEDGED)]
)
def test_what_fails_everywhere_takes_nobody_out(node: FakeNode, held: Verdict) -> None:
    """While a gateway doubts the check, the agent holds no verdict of it against a service."""
    assert _ready(node, held, "ollama:generates,gpu:wedge") == (True, {"ollama": True, "comfyui": True}, "")
    assert not _ready(node, held, "ollama:runs")[1]["ollama"]


@pytest.mark.parametrize("held", [Verdict(services={"ollama": GIVEN_UP}), Verdict(WEDGED)])
def test_what_was_settled_long_before_stays_out(node: FakeNode, held: Verdict) -> None:
    """A node given up an hour ago is the one that is ill: what fails elsewhere does not bring it back."""
    past = {name: replace(one, doubted_until=1.0) for name, one in held.services.items()}
    settled = Verdict(replace(held.node, doubted_until=1.0) if held.node else None, past)
    assert not _ready(node, settled, "ollama:generates,gpu:wedge")[1]["ollama"]


def test_what_is_not_final_is_never_settled() -> None:
    """As long as a restart may still help, the check is doubted with all others."""
    assert not HANGS.is_settled
    assert not HANGS.given_up(60).is_settled
    assert HANGS.given_up(0).is_settled
    # Given up once more, it is no younger.
    assert HANGS.given_up(0).given_up(60).is_settled


def test_what_is_settled_is_not_counted() -> None:
    """The others are, also those that were given up a moment ago."""
    services = {"ollama": replace(GIVEN_UP, doubted_until=1.0), "comfyui": GIVEN_UP}
    failing = {"ollama": "ollama:gpu", "comfyui": "comfyui:gpu", "third": "third:runs"}
    assert Verdict(services=services).counted(failing) == ("comfyui:gpu", "third:runs")


@pytest.mark.parametrize(("circuit", "out"), [("", 1), ("ollama:generates", 0)])
def test_the_number_of_the_condemned_is_that_of_those_who_are_out(node: FakeNode, circuit: str, out: int) -> None:
    """Whom a doubted check would have kept out is in, and counted as in."""
    verdict.write(node.world.paths.verdict, Verdict(services={"ollama": HANGS}))
    known = {"gateway-01": "198.51.100.1"}
    agent = Agent(node.world, Settings("gpu-01", "lab", services=SERVICES, gateways=known, metrics=ROWS))
    agent.answer(f"/ready?gateway=gateway-01&rotation=in&circuit={circuit}", "", known["gateway-01"])
    page = agent.answer("/metrics")[2].decode().splitlines()
    assert f'ipex_health_condemned{{service="ollama"}} {out}' in page
    assert 'ipex_health_condemned{service="comfyui"} 0' in page


def test_a_gateway_that_falls_silent_doubts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open circuit ends with the gateway's last word, after a few seconds."""
    gateways = Gateways()
    gateways.hear("gateway-01", "in", "comfyui", "ollama:generates,gpu:wedge,what?")
    assert gateways.circuit() == ("gpu:wedge", "ollama:generates")
    assert gateways.said()["gateway-01"]["without"] == ("comfyui",)
    later = time.monotonic() + 6
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert gateways.circuit() == ()

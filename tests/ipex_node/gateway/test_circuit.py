"""When a check is doubted rather than the nodes that fail it."""

import asyncio
import json
from typing import Any

import pytest

from ipex_node.gateway import question
from ipex_node.gateway.circuit import FORGET_SECONDS, Circuit, Limits
from ipex_node.gateway.rotation import gets_no
from ipex_node.gateway.settings import Backend

MEMBERS = {"ollama": ("a", "b", "c", "d"), "comfyui": ("a", "b")}


def _heard(failing: dict[str, list[str]], out: str = "", silent: str = "", now: float = 0) -> Circuit:
    """Return a circuit that has heard every node.

    Args:
        failing: Node to the checks that fail there.
        out: Nodes on which nothing is up, and nothing counts as failing.
        silent: Nodes that have said nothing yet.
        now: The moment.
    """
    circuit = Circuit(MEMBERS, Limits(0.5, 2))
    for node in sorted({*"abcd"} - {*silent}):
        serving = [] if node in out else [service for service, nodes in MEMBERS.items() if node in nodes]
        circuit.hear(node, tuple(failing.get(node, ())), serving, now)
    return circuit


@pytest.mark.parametrize(
    ("failing", "doubted"),
    [
        ({"a": ["ollama:generates"], "b": ["ollama:generates"]}, {}),
        (
            {"a": ["ollama:generates"], "b": ["ollama:generates"], "c": ["ollama:generates"]},
            {"ollama:generates": "abc"},
        ),
        ({"a": ["ollama:generates"], "b": ["ollama:gpu"], "c": ["ollama:generates"]}, {}),
        ({"a": ["comfyui:runs"]}, {}),
        ({"a": ["comfyui:runs"], "b": ["comfyui:runs"]}, {"comfyui:runs": "ab"}),
        ({"a": ["gpu:wedge"], "b": ["gpu:wedge"]}, {}),
        ({node: ["gpu:wedge"] for node in "abcd"}, {"gpu:wedge": "abcd"}),
    ],
    ids=["half", "more", "different", "one", "all-of-two", "half-of-all", "everybody"],
)
def test_more_than_a_share_and_at_least_two(failing: dict[str, list[str]], doubted: dict[str, str]) -> None:
    """Each check is counted over the nodes that could fail it."""
    assert _heard(failing).open(0) == {check: tuple(nodes) for check, nodes in doubted.items()}


def test_it_closes_when_nodes_recover() -> None:
    """A node's last word counts, also that nothing fails any more."""
    circuit = _heard({"a": ["comfyui:port"], "b": ["comfyui:port"]})
    assert circuit.open(0)
    circuit.hear("b", (), ["comfyui"], 1)
    assert not circuit.open(1)


def test_a_node_that_has_died_counts_no_more() -> None:
    """Its last word stands while its agent may be starting anew, and not for days."""
    failing = ["ollama:generates"]
    circuit = _heard({"a": failing, "b": failing, "c": failing})
    assert circuit.open(FORGET_SECONDS - 1)
    for node in "cd":
        circuit.hear(node, tuple(failing) if node == "c" else (), ["ollama"], FORGET_SECONDS)
    assert not circuit.open(FORGET_SECONDS)


def test_nodes_that_have_left_hide_nothing() -> None:
    """What was given up long ago makes the rest look no healthier: both that are left fail."""
    failing = {"c": ["ollama:generates"], "d": ["ollama:generates"]}
    assert not _heard(failing).open(0)
    assert _heard(failing, out="ab").open(0) == {"ollama:generates": ("c", "d")}
    assert _heard(failing, silent="ab").open(0) == {"ollama:generates": ("c", "d")}


def test_services_that_get_nothing_are_named() -> None:
    """What drains gets nothing new either."""
    loaded = {"ollama": {"a": "out", "b": "in"}, "comfyui": {"a": "draining"}}
    assert (gets_no(loaded, "a"), gets_no(loaded, "b")) == (("comfyui", "ollama"), ())  # type: ignore[arg-type]


def test_what_is_asked_and_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question tells the node what it gets nothing for, and what is doubted; the answer tells what fails."""
    asked: list[str] = []
    answer: dict[str, Any] = {"ready": True, "services": {"ollama": True}, "failing": ["ollama:gpu", "not a check"]}

    async def get(_address: str, _port: int, path: str, _seconds: float) -> tuple[int, bytes]:
        await asyncio.sleep(0)
        asked.append(path)
        return 200, json.dumps(answer).encode()

    monkeypatch.setattr(question, "get", get)
    backend = Backend("127.0.0.1", 9090, ("ollama",))
    heard, _ = asyncio.run(
        question.ask(backend, "g", out=False, without=("comfyui",), circuit=("gpu:wedge", "ollama:gpu"))
    )
    assert asked == ["/ready?gateway=g&rotation=in&without=comfyui&circuit=gpu:wedge,ollama:gpu"]
    assert heard.failing == ("ollama:gpu",)

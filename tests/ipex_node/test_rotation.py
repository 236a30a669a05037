"""Leaving and returning to rotation: what is in flight ends, and nothing new comes."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ipex_node import in_flight, marker, rotation
from ipex_node.__main__ import main
from ipex_node.agent import Agent, Server
from ipex_node.failure import FailedError
from ipex_node.readiness import Gateways
from ipex_node.settings import Service, Settings
from ipex_node.store import locked
from tests.ipex_node.fake_node import OLLAMA, SERVICE, SETTINGS, FakeNode, files
from tests.ipex_node.test_agent import ask
from tests.ipex_node.tiny_server import running

ENGINE = Service("ollama", 11434, "/api/tags", "ollama", OLLAMA, 0.3)
# A line of /proc/net/tcp: number, local, remote, state, and what nobody reads.
LINE = "{0}: {1}:2CAA {2}:D4{0:02X} {3} 00000000:00000000 00:00000000 00000000 0 0 1 1 0 20 4 30 10 -1\n"
LOOPBACK, MACHINE, GATEWAY = "0100007F", "0B0012C6", "150012C6"
MAPPED = "0000000000000000FFFF0000"


def connect(node: FakeNode, *peers: str, family: str = "tcp", state: str = "01") -> None:
    """Let the kernel show established connections from these addresses to Ollama."""
    table = node.world.paths.connections / family
    table.parent.mkdir(parents=True, exist_ok=True)
    lines = (LINE.format(number, MACHINE, peer, state) for number, peer in enumerate(peers))
    table.write_text("  sl  local_address rem_address   st ...\n" + "".join(lines))


def settle(node: FakeNode, port: int = 1, gateways: tuple[str, ...] = (), **service: object) -> None:
    """Write the node's settings."""
    settings = SETTINGS | {"agent": {"port": port}, "gateways": list(gateways), "services": [SERVICE | service]}
    path = node.world.paths.settings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("peer", "family", "state", "number"),
    [
        (GATEWAY, "tcp", "01", 1),
        (MACHINE, "tcp", "01", 1),
        (LOOPBACK, "tcp", "01", 0),
        (GATEWAY, "tcp", "06", 0),
        (MAPPED + GATEWAY, "tcp6", "01", 1),
        (MAPPED + LOOPBACK, "tcp6", "01", 0),
        ("0" * 24 + "01000000", "tcp6", "01", 0),
    ],
    ids=["gateway", "itself", "loopback", "time-wait", "mapped", "mapped-loopback", "loopback6"],
)
def test_connections_from_outside_are_in_flight(
    node: FakeNode, peer: str, family: str, state: str, number: int
) -> None:
    """Established connections count, but for those from loopback: probes and the agent."""
    connect(node, peer, family=family, state=state)
    assert in_flight.count(ENGINE, node.world.paths.connections) == number


@pytest.mark.parametrize(
    ("queue", "number"),
    [
        ({"queue_running": [[1]], "queue_pending": [[2], [3]]}, 3),
        ({"queue_running": [], "queue_pending": []}, 0),
        ({}, None),
        ([], None),
    ],
)
def test_comfyuis_queue_is_in_flight(node: FakeNode, queue: object, number: int | None) -> None:
    """Running and pending prompts count; an answer that is no queue is unknown, not nothing."""
    with running() as server:
        server.answers = {"GET /queue": lambda it: it.say(200, queue)}
        service = Service("comfyui", server.server_port, "/system_stats", "comfyui")
        assert in_flight.count(service, node.world.paths.connections) == number


def test_a_queue_beyond_all_depth_is_unknown(node: FakeNode) -> None:
    """It must not end a drain that waits for it."""
    with running() as server:
        server.answers = {"GET /queue": lambda it: it.chunks(b"[" * 100_000)}
        service = Service("comfyui", server.server_port, "/system_stats", "comfyui")
        assert in_flight.count(service, node.world.paths.connections) is None


def test_nobody_there_works_on_nothing(node: FakeNode) -> None:
    """A ComfyUI that does not run has nothing in flight."""
    assert in_flight.count(Service("comfyui", 1, "/", "comfyui"), node.world.paths.connections) == 0


class FakeGateway:
    """Asks every few milliseconds, and follows one question later, as a reload takes its time."""

    def __init__(self, port: int, name: str, *, follows: bool = True) -> None:
        self._port, self._name, self._follows = port, name, follows
        self.rotation = "in"
        self.stopped = threading.Event()

    def __call__(self) -> None:
        """Ask until stopped."""
        while not self.stopped.wait(0.01):
            status, _ = ask(self._port, f"/ready?gateway={self._name}&rotation={self.rotation}")
            if self._follows:
                self.rotation = "in" if status == 200 else "out"


@contextmanager
def asked_by(node: FakeNode, *, follows: bool = True) -> Iterator[tuple[int, FakeGateway]]:
    """Run the node's agent, and a gateway that asks it."""
    agent = Agent(node.world, Settings("gpu-01", "lab", gateways={"gateway-01": "127.0.0.1"}))
    server = Server(("127.0.0.1", 0), agent)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    gateway = FakeGateway(server.server_port, "gateway-01", follows=follows)
    thread = threading.Thread(target=gateway)
    thread.start()
    try:
        yield server.server_port, gateway
    finally:
        gateway.stopped.set()
        thread.join()
        server.shutdown()
        server.server_close()


def test_drain_waits_for_the_gateway_and_undrain_too(node: FakeNode) -> None:
    """After drain the gateway sends nothing, after undrain it sends again, and both say why."""
    with asked_by(node) as (port, gateway):
        settle(node, port, ("gateway-01",))
        answer = rotation.drain(node.world, "new fan", wait=True)
        assert (answer["ok"], gateway.rotation) == (True, "out")
        assert node.status()["rotation"]["reason"] == "new fan"
        assert json.loads(ask(port, "/ready")[1])["reason"] == "draining: new fan"
        answer = rotation.undrain(node.world)
        assert (answer["changed"], answer["not_yet_in"], gateway.rotation) == (True, [], "in")
    assert node.status()["rotation"] == {"state": "in", "reason": ""}


def test_silent_gateway_is_gone(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that does not ask sends nothing either; that is believed only after a while."""
    monkeypatch.setattr(rotation, "GONE_SECONDS", 0.1)
    settle(node, 1, ("gateway-01",))
    started = time.monotonic()
    assert rotation.drain(node.world, "", wait=True)["ok"]
    assert time.monotonic() - started >= 0.1


def test_gateways_word_is_kept_with_its_age() -> None:
    """Only in and out are words, and the last word counts."""
    gateways = Gateways()
    gateways.hear("gateway-01", "in")
    gateways.hear("gateway-01", "out")
    gateways.hear("gateway-02", "perhaps")
    said = gateways.said()
    assert said["gateway-01"] == {"rotation": "out", "without": (), "seconds_ago": 0.0}
    assert "gateway-02" not in said


def test_drain_asks_the_fleets_gateways_and_nobody_else() -> None:
    """Whatever the agent was made to believe, a name that is no gateway's is not waited for."""
    with running() as server:
        word = {"rotation": "in", "without": [], "seconds_ago": 0.0}
        told = {"gateway-01": word | {"rotation": "out"}, "made-up": word}
        server.answers = {"GET /ready": lambda it: it.say(503, {"gateways": told})}
        known = Settings("gpu-01", agent_port=server.server_port, gateways={"gateway-01": "198.51.100.1"})
        assert rotation.await_gateways(known, "out", 0) == []
        assert rotation.await_gateways(known, "in", 0) == ["gateway-01"]


@pytest.mark.parametrize("answer", [b"[" * 100_000, b"[]", b'{"gateways": []}', b"<html>"])
def test_an_agent_that_answers_anything_ends_no_drain(answer: bytes) -> None:
    """No gateway has said a word then, and no check is doubted."""
    with running() as server:
        server.answers = {"GET /ready": lambda it: it.chunks(answer)}
        known = Settings("gpu-01", agent_port=server.server_port, gateways={"gateway-01": ""})
        assert rotation.await_gateways(known, "out", 0) == ["gateway-01"]
        assert rotation.circuit(server.server_port) == ()


def test_drain_ends_when_the_last_request_does(node: FakeNode) -> None:
    """While a request is in flight drain waits; it ends with it."""
    settle(node, drain_seconds=5)
    connect(node, GATEWAY)
    threading.Timer(0.05, connect, (node, LOOPBACK)).start()
    started = time.monotonic()
    assert rotation.drain(node.world, "", wait=True)["ok"]
    assert 0.05 <= time.monotonic() - started < 5


def test_drain_says_what_is_left_at_the_deadline(node: FakeNode) -> None:
    """A request that does not end is told with its service, and the node stays drained."""
    settle(node, drain_seconds=0.05)
    connect(node, GATEWAY, GATEWAY)
    answer = rotation.drain(node.world, "", wait=True)
    assert [(one["what"], one["why"]) for one in answer["failures"]] == [("ollama", "2 still in flight")]
    assert node.status()["rotation"]["state"] == "draining"


def test_restarting_engine_is_drained_first(node: FakeNode, served: str, make: Any) -> None:
    """While the transaction waits, the node says that it drains; it restarts the engine only afterwards."""
    new = node.stage(make(files("2"), "2"))
    connect(node, GATEWAY)
    seen: list[dict[str, str]] = []

    def finish() -> None:
        seen.append(node.status()["rotation"])
        assert node.did("restart") == set()
        connect(node)

    threading.Timer(0.1, finish).start()
    assert node.activate(new)[0] == 0
    assert [one["by"] for one in seen] == [f"activate {new}"]
    assert node.did("restart") == {OLLAMA}
    assert node.status()["rotation"]["state"] == "in"
    assert served


def test_activation_that_restarts_no_engine_drains_nothing(node: FakeNode, served: str) -> None:
    """Mending the agent's settings leaves the node in rotation all the time."""
    connect(node, GATEWAY)
    node.on("/etc/ipex/node.json").write_text("{ }")
    _, answer = node.activate(served)
    details = {step["name"]: step["detail"] for step in answer["steps"]}
    assert details["leave rotation"] == ""
    assert not list(node.world.paths.run.glob("*"))


def test_request_beyond_the_deadline_is_told(node: FakeNode, served: str, make: Any) -> None:
    """The transaction goes on at the deadline, and says what it has cut off."""
    connect(node, GATEWAY)
    _, answer = node.activate(node.stage(make(files("2"), "2")))
    details = {step["name"]: step["detail"] for step in answer["steps"]}
    assert (answer["ok"], details["leave rotation"]) == (True, "ollama cuts off 1")
    assert served


def test_operators_drain_outlives_an_activation(node: FakeNode, served: str, make: Any) -> None:
    """Who took a node out brings it back: a transaction leaves that wish alone."""
    marker.put_drain(node.world.paths, "new fan", marker.OPERATOR)
    assert node.activate(node.stage(make(files("2"), "2")))[0] == 0
    assert node.status()["rotation"]["reason"] == "new fan"
    assert served


def test_undrain_during_an_activation_is_refused(node: FakeNode) -> None:
    """An operator does not put a node into rotation whose engines are about to stop."""
    paths = node.world.paths
    marker.put_drain(paths, "", marker.by_activation("x"))
    with locked(paths, "activate x"), pytest.raises(FailedError, match="activate x is at work"):
        rotation.undrain(node.world)
    assert paths.drain.exists()


def test_marker_written_by_hand_is_an_operators(node: FakeNode) -> None:
    """`touch /run/ipex/drain` drains, and undrain takes it away."""
    node.world.paths.run.mkdir(parents=True)
    node.world.paths.drain.touch()
    assert node.status()["rotation"]["state"] == "draining"
    assert rotation.undrain(node.world)["changed"]
    assert not node.world.paths.drain.exists()


def test_an_operators_drain_outlives_a_reboot(node: FakeNode) -> None:
    """What an operator has drained is drained after a boot too, until it is undrained."""
    paths = node.world.paths
    rotation.drain(node.world, "new fan", wait=False)
    paths.drain.unlink()
    assert main(["recover", "--boot"], node.world) == 0
    assert node.status()["rotation"]["reason"] == "new fan"
    rotation.undrain(node.world)
    assert main(["recover", "--boot"], node.world) == 0
    assert node.status()["rotation"]["state"] == "in"


def test_commands_are_there(node: FakeNode, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`drain --reason … --wait no` and `undrain`, each one JSON object."""
    assert tmp_path
    assert main(["drain", "--reason", "why", "--wait", "no"], node.world) == 0
    assert json.loads(capsys.readouterr().out)["rotation"]["reason"] == "why"
    assert main(["undrain"], node.world) == 0
    assert json.loads(capsys.readouterr().out)["changed"]


def test_who_keeps_a_node_out_of_rotation_is_told(node: FakeNode) -> None:
    """An operator or a change; an operator's wish is not hidden by a change."""
    paths = node.world.paths
    paths.run.mkdir(parents=True, exist_ok=True)
    assert marker.left_out_by(paths) is None
    marker.put_activating(paths, "new")
    assert marker.left_out_by(paths) == marker.CHANGE
    marker.put_drain(paths, "", marker.by_activation("new"))
    assert marker.left_out_by(paths) == marker.CHANGE
    marker.put_drain(paths, "new memory", marker.OPERATOR)
    assert marker.left_out_by(paths) == marker.OPERATOR
    marker.clear_drain(paths)
    marker.clear_transactions(paths)
    assert marker.left_out_by(paths) is None

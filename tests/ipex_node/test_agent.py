"""What gateways and monitors are told."""

import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ipex_node import readiness, samples
from ipex_node.agent import CONVERSATIONS, PER_ADDRESS, Agent, Server, _place
from ipex_node.exposition import OPENMETRICS, TEXT
from ipex_node.readiness import Readiness
from ipex_node.samples import Sample
from ipex_node.settings import Service, Settings, load
from ipex_node.world import World
from tests.ipex_node.fake_node import SETTINGS, FakeNode
from tests.ipex_node.tiny_server import dripping
from tests.lab_engines.engine_process import until
from tools.recorded import ROWS

OLLAMA = Service("ollama", 11434, "/api/tags")
COMFYUI = Service("comfyui", 8188, "/system_stats")


@pytest.mark.parametrize("flag", ["drain", "activating"])
def test_flag_takes_the_node_out_of_rotation(node: FakeNode, flag: str) -> None:
    """While it drains or activates, a node whose services answer is not ready."""
    paths = node.world.paths
    readiness = Readiness(paths, (OLLAMA,), lambda _: True)
    assert readiness.answer()["ready"]
    paths.run.mkdir()
    (paths.run / flag).touch()
    assert readiness.answer() == {
        "ready": False,
        "reason": {"drain": "draining"}.get(flag, flag),
        "generation": None,
        "services": {"ollama": True},
        "in_flight": {"ollama": 0},
        "out": {},
        "failing": (),
        "circuit": (),
        "gateways": {},
    }


@pytest.mark.parametrize(("up", "ready"), [({"ollama"}, True), (set(), False)])
def test_silent_service_leaves_the_others_in_rotation(node: FakeNode, up: set[str], ready: bool) -> None:
    """The reason names what does not answer; the node is ready while anything does."""
    answer = Readiness(node.world.paths, (OLLAMA, COMFYUI), lambda one: one.name in up).answer()
    assert (answer["ready"], "no answer from" in answer["reason"]) == (ready, True)
    assert answer["services"] == {"ollama": ready, "comfyui": False}


def test_answers_are_kept_for_a_second(node: FakeNode) -> None:
    """However many ask, the service is asked once."""
    asked: list[str] = []

    def ask(service: Service) -> bool:
        asked.append(service.name)
        return True

    readiness = Readiness(node.world.paths, (OLLAMA, COMFYUI), ask)
    readiness.services()
    readiness.services()
    assert sorted(asked) == ["comfyui", "ollama"]


@pytest.fixture
def port(node: FakeNode) -> Iterator[int]:
    """A running agent of a node whose service is down, and whose GPU was measured a moment ago."""
    down = replace(OLLAMA, port=1)
    known = {"gateway-01": "127.0.0.2", "gateway-02": "198.51.100.2"}
    sources = {"gpu": 60.0, "traffic": 60.0}
    settings = Settings("gpu-01", "lab", services=(down,), gateways=known, sources=sources, metrics=ROWS)
    warm = Sample("ipex_gpu_temperature_celsius", {"gpu": "card0", "sensor": "pkg"}, 52)
    samples.write(node.world.paths.samples("gpu"), [warm, Sample("ipex_of_another_version", {}, 1)])
    server = Server(("127.0.0.1", 0), Agent(node.world, settings))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def ask(port: int, path: str) -> tuple[int, Any]:
    """Ask the agent."""
    status, _, text = asked(port, path, "*/*")
    return status, text


def asked(port: int, path: str, accept: str) -> tuple[int, str | None, str]:
    """Ask the agent, and return the kind of its answer, too."""
    return asked_from("127.0.0.1", port, path, accept)


def asked_from(address: str, port: int, path: str, accept: str = "*/*") -> tuple[int, str | None, str]:
    """Ask the agent from one of loopback's addresses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2, source_address=(address, 0))
    connection.request("GET", path, headers={"Accept": accept})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("Content-Type"), text


def test_agent_answers(port: int) -> None:
    """/metrics, /ready, /healthz, and 404 for the rest."""
    status, text = ask(port, "/metrics")
    assert status == 200
    assert 'ipex_node_info{node="gpu-01",environment="lab",generation=""} 1\n' in text
    assert 'ipex_node_left_out{by="operator"} 0\nipex_node_left_out{by="change"} 0\n' in text
    assert 'ipex_service_up{service="ollama"} 0\n' in text
    assert 'ipex_gpu_temperature_celsius{gpu="card0",sensor="pkg"} 52\n' in text
    status, text = ask(port, "/ready")
    assert (status, json.loads(text)["services"]) == (503, {"ollama": False})
    assert [ask(port, path)[0] for path in ("/healthz", "/elsewhere")] == [200, 404]


def test_what_other_units_measured_is_on_the_page(port: int) -> None:
    """A source that is silent is said to be; a family of another version of the program breaks nothing."""
    _, text = ask(port, "/metrics")
    absent = 'ipex_metrics_absent{source="traffic",reason="ipex-traffic has left nothing in the last 60 seconds"} 1\n'
    assert absent in text
    assert 'source="gpu"' not in text
    assert "ipex_of_another_version" not in text


@pytest.mark.parametrize(
    ("accept", "kind"), [("*/*", TEXT), ("application/openmetrics-text;version=1.0.0", OPENMETRICS)]
)
def test_page_is_of_the_kind_that_was_asked_for(port: int, accept: str, kind: str) -> None:
    """The header says it, and the page's end shows it."""
    status, answered, text = asked(port, "/metrics", accept)
    assert (status, answered) == (200, kind)
    assert text.endswith("# EOF\n") == (kind == OPENMETRICS)


def test_answer_comes_in_one_piece(port: int) -> None:
    """Its body would wait 40 ms for the acknowledgement of its head: on a kept connection, in every scrape."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        for _ in range(30):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65536).endswith(b'{"ok": true}')


@pytest.mark.parametrize(
    ("name", "address", "heard"),
    [
        ("gateway-01", "127.0.0.2", True),
        ("gateway-01", "127.0.0.1", False),
        ("gateway-02", "127.0.0.2", False),
        ("gateway-03", "127.0.0.2", False),
        ("", "127.0.0.2", False),
    ],
    ids=["gateway", "engine", "another-gateways-name", "made-up", "nameless"],
)
def test_only_a_gateway_at_its_own_address_is_heard(port: int, name: str, address: str, heard: bool) -> None:
    """Engines reach the agent, too: none of them says that the fleet fails, or where requests are sent."""
    said = json.loads(asked_from(address, port, f"/ready?gateway={name}&rotation=out&circuit=ollama:api")[2])
    assert list(said["gateways"]) == ([name] if heard else [])
    assert said["circuit"] == (["ollama:api"] if heard else [])


def test_made_up_names_leave_room_for_the_gateways(port: int) -> None:
    """However many speak, the real one is heard."""
    for number in range(70):
        asked_from("127.0.0.2", port, f"/ready?gateway=x{number}&rotation=in")
    said = json.loads(asked_from("127.0.0.2", port, "/ready?gateway=gateway-01&rotation=out")[2])
    assert said["gateways"]["gateway-01"]["rotation"] == "out"


@pytest.mark.parametrize(
    ("gateways", "address", "heard"),
    [
        ({"gateway-01": "198.51.100.1"}, "198.51.100.1", True),
        ({"gateway-01": "198.51.100.1"}, "127.0.0.1", False),
        (["gateway-01"], "198.51.100.1", True),
        (["gateway-02"], "198.51.100.1", False),
    ],
)
def test_settings_of_an_earlier_deploy_name_gateways_without_addresses(
    node: FakeNode, gateways: object, address: str, heard: bool
) -> None:
    """They still load, and until the next deploy a gateway's name is believed from anywhere."""
    node.on("/etc/ipex").mkdir(parents=True)
    node.on("/etc/ipex/node.json").write_text(json.dumps(SETTINGS | {"gateways": gateways}))
    assert load(node.world.paths.settings).is_gateway("gateway-01", address) == heard


def test_idle_connections_of_an_engine_leave_room_for_the_gateways(port: int) -> None:
    """All of loopback has some of the conversations, however many addresses it uses; the rest is others'."""
    server = Server(("127.0.0.1", 0), Agent(World(), Settings()))
    with server.socket:
        taken = [server._takes(_place((f"127.0.0.{number}", 1))) for number in range(1, 20)]
        assert (sum(taken), server._takes("198.51.100.1")) == (PER_ADDRESS, True)
        assert sum(server._takes(f"198.51.100.{number}") for number in range(2, 200)) == CONVERSATIONS - PER_ADDRESS - 1
    idle = [socket.create_connection(("127.0.0.1", port), timeout=2) for _ in range(PER_ADDRESS)]
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        ask(port, "/healthz")
        pytest.fail("one more than may be was answered")
    for connection in idle:
        connection.close()
    until(lambda: answers(port))


def answers(port: int) -> bool:
    """Whether the agent takes another conversation."""
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        return ask(port, "/healthz")[0] == 200
    return False


def test_an_engine_that_drips_does_not_stay_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time and the answer does not: what was known of it before must not stand for ever."""
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 0.2)
    with dripping(b"HTTP/1.1 200 OK\r\nX: ") as port:
        assert not readiness.answers(replace(OLLAMA, port=port))


@pytest.mark.parametrize("place", ["verdict", "samples"])
def test_a_pipe_in_a_files_place_keeps_nobody_waiting(node: FakeNode, place: str) -> None:
    """The units that leave these files have other rights than the agent, and than root."""
    paths = node.world.paths
    file = paths.verdict if place == "verdict" else paths.samples("gpu")
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    agent = Agent(node.world, Settings("gpu-01", "lab", sources={"gpu": 60.0}, metrics=ROWS))
    assert agent.answer("/ready")[0] == 200
    assert b"ipex-gpu has left nothing" in agent.answer("/metrics")[2]

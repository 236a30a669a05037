"""What gateways and monitors are told."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ipex_node import samples
from ipex_node.agent import Agent, Server
from ipex_node.exposition import OPENMETRICS, TEXT
from ipex_node.readiness import Readiness
from ipex_node.samples import Sample
from ipex_node.settings import Service, Settings
from tests.ipex_node.fake_node import FakeNode
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
    settings = Settings("gpu-01", "lab", services=(down,), sources={"gpu": 60.0, "traffic": 60.0}, metrics=ROWS)
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
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
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

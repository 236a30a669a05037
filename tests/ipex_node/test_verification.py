"""Verify, through a gateway of a few lines."""

import json

import pytest

from ipex_node import verification
from ipex_node.failure import FailedError
from tests.ipex_node.fake_node import FakeNode
from tests.ipex_node.tiny_server import Server, running

VERIFIED = "/var/lib/ipex/verified"
KEY = "ipex_00000000_key"


def settle(node: FakeNode, url: str) -> None:
    """Write the settings of a gateway."""
    route = {"service": "ollama", "engine": "ollama", "path": "/ollama/", "model": "tiny"}
    text = {
        "node": "gateway-01",
        "environment": "lab",
        "agent": {"port": 9090},
        "paths": {"sysfs": "/sys"},
        "services": [],
        "verify": {
            "base_url": url,
            "host": "ai-services.local",
            "authority": "/etc/ipex/chain.pem",
            "key": "/etc/ipex/probe.key",
            "routes": [route],
        },
    }
    place = node.on("/etc/ipex/node.json")
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(text))
    place.with_name("probe.key").write_text(f"{KEY}\n")


def healthy(server: Server) -> None:
    """Let the gateway answer."""
    server.answers = {
        "GET /ollama/api/tags": lambda it: it.say(200, {"models": [{"name": "tiny"}]}, X_Ipex_Node="gpu-02"),
        "POST /ollama/api/generate": lambda it: it.chunks(b'{"response":"a"}\n', b'{"done":true}\n'),
    }


def test_success_is_recorded(node: FakeNode) -> None:
    """Every route works under the gateway's own name: the text is kept."""
    with running() as server:
        healthy(server)
        settle(node, server.url)
        answer = verification.verify(node.world, "fleet-1")
    assert answer["ok"]
    assert answer["routes"][0]["backend"] == "gpu-02"
    assert {headers["Host"] for _, headers in server.seen} == {"ai-services.local"}
    assert {headers["Authorization"] for _, headers in server.seen} == {f"Bearer {KEY}"}
    assert node.on(VERIFIED).read_text() == "fleet-1"


def test_failure_names_route_step_and_backend_and_removes_the_record(node: FakeNode) -> None:
    """A record of success does not outlive it."""
    node.on(VERIFIED).parent.mkdir(parents=True)
    node.on(VERIFIED).write_text("fleet-0")
    with running() as server:
        healthy(server)
        server.answers["POST /ollama/api/generate"] = lambda it: it.say(502, {}, X_Ipex_Node="gpu-03")
        settle(node, server.url)
        answer = verification.verify(node.world, "fleet-1")
    assert not answer["ok"]
    assert answer["failures"][0]["what"].startswith("route /ollama/ on gpu-03: POST http://")
    assert "502" in answer["failures"][0]["why"]
    assert not node.on(VERIFIED).exists()


def test_node_without_a_gateway_says_so(node: FakeNode) -> None:
    """Verify belongs to gateways."""
    with pytest.raises(FailedError, match="no gateway"):
        verification.verify(node.world, None)


def test_a_missing_key_says_what_to_do(node: FakeNode) -> None:
    """The deploy writes it; the key itself is in no message."""
    settle(node, "http://127.0.0.1:1")
    node.on("/etc/ipex/probe.key").unlink()

    with pytest.raises(FailedError, match=r"probe\.key.*deploy this gateway again"):
        verification.verify(node.world, None)

"""Requests find a node that has their model, the warm one first; through the real gateway to the lab's engines."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab import gateways
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("_pulled")]

BIG = "qwen3:30b"
ONLY = "gpu-03"
"""The one node whose data declare it."""
LIVE = "/var/lib/ipex-gateway/upstreams.conf"
STATE = "/run/ipex-gateway/state.json"
SPILL_AT = 4
"""services.ollama.route.spill_at of group_data/gpu_nodes.py."""


@pytest.fixture(scope="module")
def _pulled(lab: Lab) -> Iterator[None]:
    """An operator has pulled the big model on the node that declares it."""
    _ollama(lab, ONLY, "pull", {"model": BIG})
    yield
    lab.output(ONLY, f"curl -sf -X DELETE http://127.0.0.1:11434/api/delete -d '{json.dumps({'model': BIG})}'")


def _ollama(lab: Lab, node: str, call: str, question: object) -> str:
    """Ask a node's engine, past the gateway."""
    return lab.output(node, f"curl -sf http://127.0.0.1:11434/api/{call} -d '{json.dumps(question)}'")


def _ask(lab: Lab, path: str, body: object, method: str = "POST") -> http.client.HTTPResponse:
    """Ask the gateway; the answer is read to its end."""
    answer = _begin(lab, path, body, method)
    answer.read()
    return answer


def _begin(lab: Lab, path: str, body: object, method: str = "POST") -> http.client.HTTPResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    return gateways.Connection(lab.node(lab.gateway).address).ask(method, f"/ollama/{path}", text)


def _generate(model: str, tokens: int = 1, **more: object) -> dict[str, object]:
    return {"model": model, "prompt": "hello", "options": {"num_predict": tokens}, **more}


def _await(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def _log(lab: Lab, answer: http.client.HTTPResponse) -> dict[str, object]:
    """The gateway's line of a request."""
    found: list[str] = []

    def written() -> bool:
        command = f"grep -F {answer.headers['X-Request-Id']} /var/log/nginx/access.log || true"
        found[:] = lab.output(lab.gateway, command).splitlines()
        return bool(found)

    _await(written, 5)
    line: dict[str, object] = json.loads(found[0])
    return line


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("api/generate", _generate(BIG)),
        ("api/chat", {"messages": [{"role": "user", "content": "hello"}], "stream": False, "model": BIG}),
        ("v1/chat/completions", {"model": BIG, "messages": [{"role": "user", "content": "hello"}]}),
        ("api/show", {"model": BIG}),
        ("api/generate", _generate(BIG, format={"properties": {"model": {"type": "string"}}})),
    ],
    ids=["generate", "chat", "openai", "show", "a schema with a model in it"],
)
def test_a_request_goes_straight_to_the_node_that_declares_its_model(lab: Lab, path: str, body: object) -> None:
    """No other node is asked, and the log names the model."""
    answers = [_ask(lab, path, body) for _ in range(4)]
    lines = [_log(lab, answer) for answer in answers]

    assert [answer.status for answer in answers] == [200] * 4
    assert {answer.headers["X-Ipex-Node"] for answer in answers} == {ONLY}
    assert {line["model"] for line in lines} == {BIG}
    # One time for each node that was asked.
    assert not [line for line in lines if "," in str(line["upstream"]) or ":" in str(line["upstream"])]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(_generate(BIG)).replace("model", "mod\\u0065l", 1),
        json.dumps(_generate(BIG)).replace("qwen3", "qw\\u0065n3", 1),
        json.dumps({**_generate(BIG), "prompt": "hello " * 20_000}),
        json.dumps({"context": {"model": "tinyllama"}, **_generate(BIG)}),
    ],
    ids=["escaped key", "escaped name", "a body above the buffer", "named twice"],
)
def test_a_request_whose_model_was_not_read_finds_its_node_all_the_same(lab: Lab, body: str) -> None:
    """Whoever is asked first, and however often: a node without the model is no answer."""
    answers = [_ask(lab, "api/generate", body) for _ in range(6)]

    assert [answer.status for answer in answers] == [200] * 6
    assert {answer.headers["X-Ipex-Node"] for answer in answers} == {ONLY}
    assert {_log(lab, answer)["model"] for answer in answers} == {""}


def test_a_model_that_nobody_has_is_an_answer_of_the_engines(lab: Lab) -> None:
    """404 with Ollama's own words, and a log that does not repeat what the user wrote."""
    answer = _begin(lab, "api/generate", _generate("my-secret-model"))
    said = answer.read()
    line = _log(lab, answer)

    assert answer.status == 404
    assert b"my-secret-model" in said
    assert b"not found" in said
    assert line["model"] == "other"
    assert "my-secret" not in json.dumps(line)


def test_what_names_no_model_goes_anywhere(lab: Lab) -> None:
    """Lists come from every node."""
    answers = [_ask(lab, "api/tags", "", "GET") for _ in range(12)]

    assert {answer.headers["X-Ipex-Node"] for answer in answers} == set(lab.gpus)
    assert {_log(lab, answer)["model"] for answer in answers} == {""}


def _only_warm(lab: Lab, warm: str) -> None:
    """Unload the small model everywhere but on one node, and wait until nginx puts that one first."""
    for node in lab.gpus:
        _ollama(lab, node, "generate", {"model": "tinyllama", "keep_alive": "10m" if node == warm else 0})
        lab.output(node, "systemctl restart ipex-traffic")

    def told() -> bool:
        said = [json.loads(lab.output(node, "curl -s http://127.0.0.1:9090/ready"))["warm"] for node in lab.gpus]
        # A node whose look is not over says nothing of Ollama, and would wait for nobody.
        known = ["tinyllama" in one["ollama"] for one in said if "ollama" in one]
        return known == [node == warm for node in lab.gpus]

    _await(told)
    # Its first look needs no waiting for warm_seconds.
    lab.output(lab.gateway, "systemctl restart ipex-gateway")
    cold = sorted(set(lab.gpus) - {warm})
    # The file of upstreams is written before nginx has loaded it, the state after.
    _await(lambda: sorted(_state(lab)["waiting"].get("ollama", {}).get("tinyllama", ())) == cold)
    assert f"max_conns={SPILL_AT}; # {warm} ollama new tinyllama" in lab.output(lab.gateway, f"cat {LIVE}")


def _state(lab: Lab) -> dict[str, Any]:
    """What nginx works with on the gateway."""
    state: dict[str, Any] = json.loads(lab.output(lab.gateway, f"cat {STATE}"))
    return state


def test_the_warm_node_is_first_and_others_help_when_it_is_busy(lab: Lab) -> None:
    """One after another all go to the node that has the model loaded; together they spill over at once."""
    warm = lab.gpus[1]
    _only_warm(lab, warm)
    alone = {_ask(lab, "api/generate", _generate("tinyllama")).headers["X-Ipex-Node"] for _ in range(8)}
    with ThreadPoolExecutor(SPILL_AT * 2) as pool:
        crowd = [pool.submit(_ask, lab, "api/generate", _generate("tinyllama", 20)) for _ in range(SPILL_AT * 2)]
        together = [one.result() for one in crowd]

    assert alone == {warm}
    assert {answer.headers["X-Ipex-Node"] for answer in together} > {warm}
    assert {answer.status for answer in together} == {200}


def test_the_last_node_of_a_model_that_drains_is_told(lab: Lab) -> None:
    """The gateway's journal names the model that is left without a node; the others go on."""
    lab.output(ONLY, "ipex-node drain --reason 'a test' --wait no")
    try:
        # Written when nginx works without the node.
        _await(lambda: _state(lab)["unserved"] == [["ollama", BIG]])
        said = lab.output(lab.gateway, "journalctl -u ipex-gateway --since -30s --no-pager -o cat")
        small = _ask(lab, "api/generate", _generate("tinyllama"))
        big = _ask(lab, "api/generate", _generate(BIG))
    finally:
        lab.output(ONLY, "ipex-node undrain")

    assert f"nobody is left for {BIG}" in said
    assert small.status == 200
    # Not 404: the model exists, and will be there again.
    assert big.status == 502

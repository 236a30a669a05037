"""How engines prove that they work, against a server of a few lines."""

import json
import time
from collections.abc import Iterator

import pytest

from ipex_node import engines
from ipex_node.client import Client
from ipex_node.failure import FailedError, GivenUpError
from ipex_node.manifest import Probe
from tests.ipex_node.tiny_server import Handler, Server, dripping, frame, running

SECONDS = 0.2


@pytest.fixture
def server() -> Iterator[Server]:
    """A healthy Ollama and ComfyUI in one."""
    with running() as one:
        one.answers = {
            "GET /api/tags": lambda it: it.say(200, {"models": [{"name": "tiny:latest"}]}),
            "POST /api/generate": lambda it: it.chunks(b'{"response":"a"}\n', b'{"done":', b"true}\n"),
            "GET /system_stats": lambda it: it.say(
                200, {"devices": [{"type": "xpu"}]}, Set_Cookie="comfy_node=n1; Path=/", X_Ipex_Node="gpu-07"
            ),
            "POST /prompt": lambda it: it.say(200, {"prompt_id": "p1", "node_errors": {}}),
            "GET /ws": lambda it: it.upgrade(event("status"), event("execution_success", prompt_id="p1")),
            "GET /history/p1": lambda it: it.say(200, {"p1": {"outputs": {"2": {}}}}),
        }
        yield one


def deep(server: Server, engine: str) -> None:
    """Ask as the transaction does on a node with a GPU."""
    probe = Probe(engine, "x.service", server.url, engines.API_PATHS[engine], "tiny", SECONDS)
    engines.check(probe, time.monotonic() + SECONDS, on_gpu=True)


@pytest.mark.parametrize(
    ("loaded", "why"),
    [
        ([{"name": "tiny:latest", "size": 9, "size_vram": 0}], "computes on the CPU: size_vram is 0"),
        ([{"name": "tiny:latest", "size": 9}], "computes on the CPU"),
    ],
)
def test_ollama_on_the_processor_is_refused(server: Server, loaded: list[object], why: str) -> None:
    """It answers 200 and generates, and its model is not in the GPU's memory."""
    server.answers["GET /api/ps"] = lambda it: it.say(200, {"models": [{"name": "tiny:latest", "size_vram": 9}]})
    deep(server, "ollama")
    server.answers["GET /api/ps"] = lambda it: it.say(200, {"models": loaded})
    with pytest.raises(GivenUpError, match=why):
        deep(server, "ollama")
    server.answers["GET /api/ps"] = lambda it: it.say(200, {"models": []})
    with pytest.raises(FailedError, match="is not loaded: on the GPU or not"):
        deep(server, "ollama")


def test_comfyui_on_the_processor_is_refused(server: Server) -> None:
    """It finishes the prompt, and its device is a cpu."""
    deep(server, "comfyui")
    server.answers["GET /system_stats"] = lambda it: it.say(200, {"devices": [{"type": "cpu"}]})
    with pytest.raises(GivenUpError, match="it computes on cpu, not on an xpu"):
        deep(server, "comfyui")


def event(kind: str, **data: object) -> bytes:
    """Return an event of ComfyUI as a frame."""
    return frame(1, json.dumps({"type": kind, "data": data}).encode())


def prove(server: Server, engine: str, model: str | None = "tiny", *, streaming: bool = False) -> Client:
    """Ask, with little time."""
    client = Client(server.url, time.monotonic() + SECONDS)
    engines.prove(engine, client, engines.API_PATHS[engine], model, streaming=streaming)
    return client


def test_ollama_generates(server: Server) -> None:
    """A model that is there and a stream that ends with done, in several pieces, are proof."""
    prove(server, "ollama", streaming=True)
    assert server.bodies[-1]["model"] == "tiny"


def test_ollama_without_the_model(server: Server) -> None:
    """The failure names the models that are there."""
    with pytest.raises(FailedError, match="model other is not there; there are: tiny:latest"):
        prove(server, "ollama", "other")


def hang(_: Handler) -> None:
    """Answer nothing for longer than the client waits."""
    time.sleep(SECONDS + 0.1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda it: it.chunks(b'{"response":"a"}\n'), "ended before it was done"),
        (lambda it: it.chunks(b'{"error":"device lost"}\n'), "device lost"),
        (lambda it: it.chunks(b"<html>"), "no JSON"),
        (lambda it: it.say(503, {"error": "busy"}), "503 Service Unavailable: .*busy"),
        (hang, "no answer before the deadline"),
    ],
)
def test_ollama_that_does_not_generate(server: Server, answer: object, why: str) -> None:
    """An API that lists models is not health: each way to fail at work is told."""
    assert callable(answer)
    server.answers["POST /api/generate"] = answer
    with pytest.raises(FailedError, match=why):
        prove(server, "ollama")


def test_collected_stream_is_refused(server: Server) -> None:
    """Through a gateway, a stream in one piece means that somebody collects it."""
    server.answers["POST /api/generate"] = lambda it: it.chunks(b'{"response":"a"}\n{"done":true}\n')
    prove(server, "ollama")
    with pytest.raises(FailedError, match="in one piece"):
        prove(server, "ollama", streaming=True)


def test_comfyui_finishes_a_prompt(server: Server) -> None:
    """The prompt and the websocket carry one client id and the cookie of the first answer."""
    client = prove(server, "comfyui")
    asked = dict(server.seen)
    assert asked["GET /ws"]["Cookie"] == asked["POST /prompt"]["Cookie"] == "comfy_node=n1"
    assert set(engines.graph()) == set(server.bodies[-2]["prompt"])
    assert client.node == "gpu-07"


@pytest.mark.parametrize(
    ("path", "answer", "why"),
    [
        ("GET /system_stats", lambda it: it.say(200, {"devices": []}), "no device"),
        ("POST /prompt", lambda it: it.say(400, {"error": {"message": "bad graph"}}), "bad graph"),
        ("GET /ws", lambda it: it.upgrade(event("execution_error", prompt_id="p1", x="lost")), "execution_error.*lost"),
        ("GET /ws", lambda it: it.upgrade(event("execution_start", prompt_id="p1")), "heard in .*: execution_start"),
        ("GET /ws", lambda it: it.say(200, {}), "answers 200 OK, no websocket"),
        ("GET /ws", lambda it: it.upgrade(proof="wrong"), "without the proof"),
        ("GET /history/p1", lambda it: it.say(200, {}), "left no output"),
    ],
)
def test_comfyui_that_does_not_work(server: Server, path: str, answer: object, why: str) -> None:
    """Each step of a prompt has a failure of its own."""
    assert callable(answer)
    server.answers[path] = answer
    with pytest.raises(FailedError, match=why):
        prove(server, "comfyui")


@pytest.mark.parametrize(
    "first",
    [b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"],
    ids=["head", "chunk", "last"],
)
@pytest.mark.parametrize("ask", ["get", "stream"])
def test_an_answer_that_drips_ends_at_the_deadline(first: bytes, ask: str) -> None:
    """Byte by byte, each in time: the run that judges it, and all other engines of the node, would wait for ever."""
    with dripping(first) as port:
        client = Client(f"http://127.0.0.1:{port}", time.monotonic() + SECONDS)
        with pytest.raises(FailedError, match="no answer before the deadline"):
            client.get("/") if ask == "get" else list(client.stream("/", {}))


@pytest.mark.parametrize("path", ["/api/tags", "/api/generate", "/api/ps", "/system_stats", "/prompt", "/history/p1"])
@pytest.mark.parametrize("said", [b"[" * 100_000, b"[1]", b'{"models": [1], "devices": [1], "p1": 1}', b'"x"', b"1"])
def test_an_answer_of_any_shape_is_a_failure(server: Server, path: str, said: bytes) -> None:
    """Deeper than any answer is, or in words no engine uses: it fails its proof, and ends nobody's run."""
    method = "POST" if path in {"/api/generate", "/prompt"} else "GET"
    server.answers[f"{method} {path}"] = lambda it: it.chunks(said)
    engine = "ollama" if path.startswith("/api") else "comfyui"
    with pytest.raises(FailedError):
        deep(server, engine)


@pytest.mark.parametrize("said", [b"[" * 100_000, b"[1]", b'{"data": 1}', b"\xff"])
def test_an_event_of_any_shape_is_a_failure(server: Server, said: bytes) -> None:
    """The same, from the websocket."""
    server.answers["GET /ws"] = lambda it: it.upgrade(frame(1, said))
    with pytest.raises(FailedError):
        prove(server, "comfyui")


def test_silent_port_is_named() -> None:
    """Nobody listening is told with the address."""
    with pytest.raises(FailedError, match=r"GET http://127.0.0.1:1/: no answer: Connection refused"):
        Client("http://127.0.0.1:1", time.monotonic() + 1).get("/")

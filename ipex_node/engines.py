"""How each engine proves that it does its work; the same proof on the node and through the gateway."""

from __future__ import annotations

import json
import random
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ipex_node import border
from ipex_node.client import Client
from ipex_node.failure import Failure, GivenUpError, failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipex_node.manifest import Probe
    from ipex_node.websocket import WebSocket

API_PATHS = {"ollama": "/api/tags", "comfyui": "/system_stats", "http": "/"}
"""Where each engine's API answers 200: Ollama's server/routes.go, ComfyUI's server.py."""
PROOF_SESSION = "ipex-proof-"
"""Beginning of the client id of every proof, so that it is not counted as a user's work."""
_TOKENS = 8
"""Tokens asked for: enough for a stream to come in several pieces."""
_DRIVERS = "see whether /run/opengl-driver leads to the drivers and /dev/dri/renderD* belongs to render"


def check(probe: Probe, deadline: float, *, on_gpu: bool = False) -> None:
    """Ask the engine behind a probe to do its smallest work.

    Args:
        probe: Whom to ask and for what.
        deadline: Moment of `time.monotonic()` at which it must be done.
        on_gpu: Whether the work must be done on the GPU: an engine without its driver answers 200 and
            computes on the processor.

    Raises:
        FailedError: It did not; the failure says at which step and what was seen.
    """
    client = Client(probe.url, deadline)
    with _known(probe.engine):
        if probe.engine == "ollama" and probe.model is not None:
            _bring_model(client, probe.model)
        prove(probe.engine, client, probe.path, probe.model)
        if on_gpu and probe.engine == "comfyui":
            _require_xpu(client)
        if on_gpu and probe.engine == "ollama" and probe.model is not None:
            _require_vram(client, probe.model)


def prove(engine: str, client: Client, api_path: str, model: str | None, *, streaming: bool = False) -> None:
    """Ask an engine for its API, and then for work.

    Args:
        engine: `ollama`, `comfyui` or `http`.
        client: Knows the address and the deadline.
        api_path: Must answer 200.
        model: Model that must generate; without it Ollama is asked for no work.
        streaming: Whether an answer must also arrive piece by piece.
    """
    with _known(engine):
        if engine == "ollama":
            _ollama(client, api_path, model, streaming=streaming)
        elif engine == "comfyui":
            _comfyui(client, api_path)
        else:
            client.get(api_path)


@contextmanager
def _known(engine: str) -> Iterator[None]:
    """Let an answer of a shape that an engine's never have be a failure, and not the end of whoever asks."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise failed(engine, f"answers in words that are not {engine}'s: {error!r}") from error


def _ollama(client: Client, api_path: str, model: str | None, *, streaming: bool) -> None:
    client.get(api_path)
    if model is None:
        return
    _require_model(client, model)
    question = {"model": model, "prompt": "Say hello.", "options": {"num_predict": _TOKENS}}
    last: dict[str, Any] = {}
    arrivals = set()
    for arrival, line in client.stream("/api/generate", question):
        last = _ollama_line(line)
        arrivals.add(arrival)
    if not last.get("done"):
        raise failed("POST /api/generate", f"the stream ended before it was done; last line: {json.dumps(last)[:200]}")
    if streaming and len(arrivals) < 2:
        why = "the stream came in one piece: something on the way collects it"
        raise failed("POST /api/generate", why, "proxy_buffering must be off on the gateway")


def _models(client: Client) -> list[str]:
    return [str(one.get("name", "")) for one in client.get_json("/api/tags").get("models") or []]


def _is_among(model: str, names: list[str]) -> bool:
    """Compare as Ollama does, which completes a name without a tag by `latest`."""
    return model in names or (":" not in model and f"{model}:latest" in names)


def _bring_model(client: Client, model: str) -> None:
    """Let a fresh node pull the model its proof needs; what a cut-off pull has brought is not pulled again."""
    if _is_among(model, _models(client)):
        return
    last: dict[str, Any] = {}
    for _, line in client.stream("/api/pull", {"model": model}):
        last = _ollama_line(line)
    if last.get("status") != "success":
        cure = "let the service reach the model's registry (egress), or bring the model by hand"
        raise failed("POST /api/pull", f"model {model} is not there and could not be pulled: {json.dumps(last)}", cure)


def _require_model(client: Client, model: str) -> None:
    names = _models(client)
    if not _is_among(model, names):
        has = ", ".join(names) or "none"
        raise failed("GET /api/tags", f"model {model} is not there; there are: {has}", f"pull {model} on that node")


def _require_vram(client: Client, model: str) -> None:
    """See where the model lies that has just generated (Ollama's docs/api.md, GET /api/ps)."""
    loaded = {str(one.get("name", "")): one for one in client.get_json("/api/ps").get("models") or []}
    found = loaded.get(model) or loaded.get(f"{model}:latest")
    if found is None:
        cure = "OLLAMA_KEEP_ALIVE must not be 0"
        raise failed("GET /api/ps", f"model {model} has generated and is not loaded: on the GPU or not?", cure)
    if not found.get("size_vram"):
        why = f"model {model} computes on the CPU: size_vram is 0"
        raise GivenUpError(Failure("GET /api/ps", why, _DRIVERS))


def _require_xpu(client: Client) -> None:
    """See what ComfyUI computes on: torch's name of the device (its server.py, GET /system_stats)."""
    kinds = [str(device.get("type")) for device in client.get_json("/system_stats").get("devices") or []]
    if "xpu" not in kinds:
        why = f"it computes on {', '.join(kinds) or 'nothing'}, not on an xpu"
        raise GivenUpError(Failure("GET /system_stats", why, _DRIVERS))


def _ollama_line(line: bytes) -> dict[str, Any]:
    try:
        said = border.parse(line)
    except ValueError as error:
        raise failed("POST /api/generate", f"a line of the stream is no JSON: {line[:80]!r}") from error
    # A failure in the middle of a stream is a line of its own, after status 200.
    if not isinstance(said, dict) or "error" in said:
        raise failed("POST /api/generate", f"it failed while generating: {line.decode(errors='replace')[:300]}")
    return said


def graph() -> dict[str, Any]:
    """Return ComfyUI's smallest graph of core nodes that needs no model.

    EmptyImage and PreviewImage are in ComfyUI's nodes.py; PreviewImage writes to the temporary directory, so
    that proofs do not pile up. The random colour keeps ComfyUI from answering out of its cache.
    """
    # No secret depends on the colour.
    colour = random.randrange(1 << 24)  # noqa: S311 - no secret: two colours should differ
    image = {"width": 64, "height": 64, "batch_size": 1, "color": colour}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


def _comfyui(client: Client, api_path: str) -> None:
    # The first answer also brings the cookie by which a gateway keeps the rest on one node.
    client.get(api_path)
    if not client.get_json("/system_stats").get("devices"):
        raise failed("GET /system_stats", "it lists no device to compute on")
    session = f"{PROOF_SESSION}{uuid.uuid4().hex}"
    with client.websocket(f"/ws?clientId={session}") as events:
        accepted = client.post_json("/prompt", {"prompt": graph(), "client_id": session})
        prompt = str(accepted.get("prompt_id", ""))
        if not prompt or accepted.get("node_errors"):
            raise failed("POST /prompt", f"it refused the graph: {json.dumps(accepted)[:300]}")
        _await_success(events, prompt)
    entry = client.get_json(f"/history/{prompt}").get(prompt)
    if not entry or not entry.get("outputs"):
        raise failed(f"GET /history/{prompt}", "the finished prompt has left no output")


def _await_success(events: WebSocket, prompt: str) -> None:
    started = time.monotonic()
    seen: list[str] = []
    while True:
        try:
            message = events.receive()
        except OSError as error:
            heard = ", ".join(seen) or "nothing"
            why = "not finished before the deadline" if isinstance(error, TimeoutError) else str(error)
            seconds = time.monotonic() - started
            raise failed("websocket /ws", f"{why}; heard in {seconds:.1f} s: {heard}") from error
        event = border.parse(message) if isinstance(message, str) else {}
        data = event.get("data") or {}
        if data.get("prompt_id") != prompt:
            continue
        seen.append(str(event.get("type")))
        if event["type"] in {"execution_error", "execution_interrupted"}:
            raise failed("websocket /ws", f"{event['type']}: {json.dumps(data)[:300]}")
        # Older versions say only that no node is executing any more.
        if event["type"] == "execution_success" or (event["type"] == "executing" and data.get("node") is None):
            return

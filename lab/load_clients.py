"""Three kinds of users: who streams a generation, who asks a plain question, who has a prompt drawn."""

import asyncio
import json
import random
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from lab.load_http import Answer, ask, events, upgrade
from lab.load_tally import Load, LostError, RefusedError, TruncatedError

PLAIN = ("/ollama/api/tags", "/comfyui/system_stats")
PROMPTS_A_SESSION = 5
STEPS = 10
"""Sampling steps of a prompt: half a second on a lab node."""


async def stream(load: Load) -> None:
    """Stream one generation after the other."""
    while not load.stop.is_set():
        seconds = random.uniform(1, load.longest_stream)  # noqa: S311 - no secret
        await load.attempt("stream", _generate(load, max(1, round(seconds / load.token_seconds))))


async def _generate(load: Load, tokens: int) -> str:
    question = {"model": "tinyllama", "prompt": "Say hello.", "options": {"num_predict": tokens}}
    async with ask(load.target, "POST", "/ollama/api/generate", question) as answer:
        await _accepted(answer)
        last: dict[str, object] = {}
        try:
            async for line in answer.lines():
                last = json.loads(line)
        except OSError as error:
            raise TruncatedError(f"{answer.node}: {error}") from error
    if last.get("done") is not True:
        raise TruncatedError(f"{answer.node} ended a stream with {json.dumps(last)[:200]}")
    if last.get("eval_count") != tokens:
        raise TruncatedError(f"{answer.node} made {last.get('eval_count')} of {tokens} tokens")
    return answer.node


async def _accepted(answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        body = (await answer.body())[:200].decode(errors="replace")
        raise RefusedError(f"{answer.status} {answer.node} {' '.join(body.split())}")


async def plain(load: Load) -> None:
    """Ask one cheap question after the other."""
    while not load.stop.is_set():
        await load.attempt("plain", _question(load, random.choice(PLAIN)))  # noqa: S311 - as above
        await load.rest()


async def _question(load: Load, path: str) -> str:
    async with ask(load.target, "GET", path) as answer:
        await _accepted(answer)
        json.loads(await answer.body())
        return answer.node


async def prompt(load: Load) -> None:
    """Have one prompt drawn after the other, a few in each session."""
    while not load.stop.is_set():
        session = Session(load)
        for _ in range(PROMPTS_A_SESSION):
            if not load.stop.is_set():
                await load.attempt("prompt", session.draw())
                await load.rest()


class Session:
    """One browser: a client id and the cookie that keeps it on its node.

    Args:
        load: The run it belongs to.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._client = uuid.uuid4().hex
        self._cookie = ""

    async def draw(self) -> str:
        """Queue a prompt, follow its events to the end, and fetch the result where they break off."""
        opened = self._ask("GET", f"/comfyui/ws?clientId={self._client}", headers=upgrade())
        async with opened as socket:
            if socket.status != 101:
                await _accepted(socket)
            node, identifier = await self._queue()
            try:
                # Another node's socket will never tell of this prompt.
                if socket.node == node and await _success(socket, identifier):
                    return node
            except OSError:
                pass  # the result may have come all the same: it is asked for
        self._load.tallies["prompt"].moved += 1
        return await self._fetch(identifier)

    async def _queue(self) -> tuple[str, str]:
        question = {"prompt": graph(), "client_id": self._client}
        async with self._ask("POST", "/comfyui/prompt", question) as answer:
            await _accepted(answer)
            return answer.node, str(json.loads(await answer.body())["prompt_id"])

    async def _fetch(self, identifier: str) -> str:
        """Ask for the result until it is there; the deadline is whoever accepted the prompt having forgotten it."""
        unknown = 0
        while unknown < 3:
            async with self._ask("GET", f"/comfyui/history/{identifier}") as answer:
                await _accepted(answer)
                entry = json.loads(await answer.body()).get(identifier)
            if entry and entry["status"]["completed"]:
                return answer.node
            if entry:
                raise LostError(f"{answer.node} ended a prompt with {entry['status']['status_str']}")
            unknown = 0 if await self._is_queued(identifier) else unknown + 1
            await asyncio.sleep(0.3)
        raise LostError(f"{answer.node} knows nothing of a prompt that was accepted")

    async def _is_queued(self, identifier: str) -> bool:
        async with self._ask("GET", "/comfyui/queue") as answer:
            await _accepted(answer)
            queue = json.loads(await answer.body())
        return any(job[1] == identifier for job in (*queue["queue_running"], *queue["queue_pending"]))

    @asynccontextmanager
    async def _ask(
        self, method: str, path: str, question: object = None, headers: dict[str, str] | None = None
    ) -> AsyncIterator[Answer]:
        """Ask with the session's cookie, and keep the one that is given."""
        sent = {**(headers or {}), **({"Cookie": self._cookie} if self._cookie else {})}
        async with ask(self._load.target, method, path, question, sent) as answer:
            if given := answer.headers.get("set-cookie"):
                self._cookie = given.partition(";")[0]
            yield answer


async def _success(socket: Answer, identifier: str) -> bool:
    """Follow a prompt's events; False when the socket closes before they say how it ended."""
    async with aclosing(_about(socket, identifier)) as told:
        async for kind in told:
            if kind == "execution_success":
                return True
            if kind in {"execution_error", "execution_interrupted"}:
                raise LostError(f"{socket.node}: {kind}")
    return False


async def _about(socket: Answer, identifier: str) -> AsyncGenerator[str, None]:
    async for event in events(socket):
        data = event.get("data")
        if isinstance(data, dict) and data.get("prompt_id") == identifier:
            yield str(event.get("type"))


def graph() -> dict[str, object]:
    """Return a graph that samples for a while and leaves a picture in the temporary directory."""
    sampler = {
        "seed": random.randrange(1 << 32),  # noqa: S311 - so that no cache answers
        "steps": STEPS,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["2", 0],
        "latent_image": ["3", 0],
    }
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "lab.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a steady lamp", "clip": ["1", 1]}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {"class_type": "KSampler", "inputs": sampler},
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
    }

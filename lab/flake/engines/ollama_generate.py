"""Generation: tokens at a set pace, streamed as Ollama streams them."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from . import faults, llama_server
from .golang import duration_seconds, timestamp
from .http import HttpError, Request, Response, compact
from .ollama_models import Model, Scheduler, Shelf

SENTENCE = "the lab answers with words that mean nothing and arrive at a steady pace"
WORDS = SENTENCE.split()
USUAL_TOKENS = 24
NANOSECONDS = 1_000_000_000

Piece = Callable[[str], dict[str, object]]


@dataclass
class Job:
    """One generation.

    Attributes:
        tokens: how many it will produce.
        limited: the caller set that number, so the reason for the end is "length".
        keep_alive: seconds the model stays loaded afterwards.
        load_seconds: how long loading took; set when the job has its slot.
    """

    model: Model
    prompt: str
    tokens: int
    limited: bool
    keep_alive: float
    load_seconds: float = 0.0
    begin: float = 0.0
    first: float = 0.0

    @property
    def reason(self) -> str:
        """Why the generation ends."""
        return "length" if self.limited else "stop"

    def prompt_tokens(self) -> int:
        """Return a count of the prompt's tokens: its words."""
        return max(1, len(self.prompt.split()))

    def durations(self, produced: int) -> dict[str, object]:
        """Return the figures of the last object, in nanoseconds (api/types.go, Metrics)."""
        now = time.monotonic()
        return {
            "total_duration": int((now - self.begin) * NANOSECONDS),
            "load_duration": max(1, int(self.load_seconds * NANOSECONDS)),
            "prompt_eval_count": self.prompt_tokens(),
            "prompt_eval_duration": int(self.prompt_tokens() * llama_server.PROMPT_TOKEN_SECONDS * NANOSECONDS),
            "eval_count": produced,
            "eval_duration": max(1, int((now - self.first) * NANOSECONDS)),
        }


class Engine:
    """What generates: used by Ollama's own API and by the OpenAI one."""

    def __init__(self, shelf: Shelf, scheduler: Scheduler) -> None:
        self._shelf = shelf
        self._scheduler = scheduler
        self._token_seconds = float(os.environ.get("OLLAMA_LAB_TOKEN_SECONDS", "0.02"))
        self._tasks = 0
        self._keep_alive = os.environ.get("OLLAMA_KEEP_ALIVE") or "5m"

    def job(self, asked: dict[str, object], prompt: str, limit: object = None) -> Job:
        """Read a request into a job; 404 for an unknown model, 400 for a bad keep_alive."""
        model = self._shelf.find(asked.get("model", ""))
        options = asked.get("options")
        wanted = limit if limit is not None else options.get("num_predict") if isinstance(options, dict) else None
        limited = isinstance(wanted, int) and wanted > 0
        tokens = wanted if isinstance(wanted, int) and wanted > 0 else USUAL_TOKENS
        try:
            keep_alive = duration_seconds(asked.get("keep_alive", self._keep_alive))
        except ValueError as error:
            raise HttpError(400, {"error": str(error)}) from error
        return Job(model, prompt, tokens, limited, keep_alive)

    async def tokens(self, job: Job) -> AsyncGenerator[str, None]:
        """Wait for a slot and yield the tokens; an empty one where the fault cuts the stream."""
        job.begin = job.first = time.monotonic()
        async with self._scheduler.slot(job.model, job.keep_alive) as job.load_seconds:
            job.first = time.monotonic()
            for index in range(job.tokens):
                fault = faults.current("ollama")
                if fault.generate == "hang":
                    await asyncio.Event().wait()
                if fault.generate == "cut" and index >= job.tokens // 2:
                    yield ""
                    return
                await asyncio.sleep(fault.pace(self._token_seconds))
                yield WORDS[index % len(WORDS)] + " "
            self._tasks += 1
            llama_server.print_timings(self._tasks, job.prompt_tokens(), job.tokens, time.monotonic() - job.first)

    async def generate(self, request: Request) -> Response:
        """POST /api/generate."""
        asked = _asked(request)
        prompt = str(asked.get("prompt") or "")
        job = self.job(asked, prompt)
        if not prompt:
            return await self._load(job, {"response": ""})
        return await self._respond(job, asked, lambda token: {"response": token})

    async def chat(self, request: Request) -> Response:
        """POST /api/chat."""
        asked = _asked(request)
        job = self.job(asked, conversation(asked))
        if not asked.get("messages"):
            return await self._load(job, {"message": {"role": "assistant", "content": ""}})
        return await self._respond(job, asked, lambda token: {"message": {"role": "assistant", "content": token}})

    async def embed(self, request: Request) -> Response:
        """POST /api/embed."""
        asked = _asked(request)
        texts = asked.get("input", [])
        job = self.job(asked, str(texts))
        async with self._scheduler.slot(job.model, job.keep_alive):
            count = len(texts) if isinstance(texts, list) else 1
        vector = [0.0] * 7 + [1.0]
        return Response(
            {
                "model": asked["model"],
                "embeddings": [vector] * count,
                "total_duration": 1_000_000,
                "load_duration": 1_000_000,
                "prompt_eval_count": job.prompt_tokens(),
            }
        )

    async def begin(self, job: Job) -> AsyncGenerator[str, None]:
        """Return the job's tokens once the first is there, so that a refusal can still set the status."""
        if faults.current("ollama").generate == "error503":
            raise HttpError(503, {"error": "llama-server process no longer running: vk::DeviceLostError"})
        tokens = self.tokens(job)
        first = await anext(tokens, "")
        return _chained(first, tokens)

    async def _load(self, job: Job, empty: dict[str, object]) -> Response:
        done = {"model": job.model.name, "created_at": timestamp(), **empty, "done": True}
        if job.keep_alive == 0:
            self._scheduler.unload(job.model)
            return Response({**done, "done_reason": "unload"})
        async with self._scheduler.slot(job.model, job.keep_alive):
            return Response({**done, "done_reason": "load"})

    async def _respond(self, job: Job, asked: dict[str, object], piece: Piece) -> Response:
        tokens = await self.begin(job)
        if asked.get("stream", True) is not False:
            return Response(content_type="application/x-ndjson", stream=_lines(job, tokens, piece))
        words = [token async for token in tokens]
        if "" in words:
            raise HttpError(500, {"error": "llama-server process has terminated: signal: aborted"})
        return Response(_final(job, piece("".join(words)), len(words)))


def conversation(asked: dict[str, object]) -> str:
    """Return the text of a chat's messages."""
    messages = asked.get("messages")
    contents = messages if isinstance(messages, list) else []
    return " ".join(str(message.get("content", "")) for message in contents if isinstance(message, dict))


def _asked(request: Request) -> dict[str, object]:
    if not request.body:
        raise HttpError(400, {"error": "missing request body"})
    return request.json()


def _final(job: Job, piece: dict[str, object], produced: int) -> dict[str, object]:
    return {
        "model": job.model.name,
        "created_at": timestamp(),
        **piece,
        "done": True,
        "done_reason": job.reason,
        **job.durations(produced),
    }


async def _chained(first: str, rest: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with aclosing(rest):
        yield first
        async for token in rest:
            yield token


async def _lines(job: Job, tokens: AsyncGenerator[str, None], piece: Piece) -> AsyncGenerator[bytes, None]:
    produced = 0
    async with aclosing(tokens):
        async for token in tokens:
            if not token:
                yield b""
                return
            produced += 1
            head = {"model": job.model.name, "created_at": timestamp()}
            yield compact({**head, **piece(token), "done": False}) + b"\n"
    yield compact(_final(job, piece(""), produced)) + b"\n"

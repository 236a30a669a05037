"""The OpenAI-compatible part of Ollama's API (docs/api/openai-compatibility)."""

import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from .http import HttpError, Request, Response, compact
from .ollama_generate import Engine, Job, conversation

Choice = Callable[[str], dict[str, object]]


@dataclass(frozen=True)
class Dialect:
    """How one endpoint words its answers."""

    prefix: str
    whole: str
    chunk: str
    whole_choice: Choice
    chunk_choice: Choice


CHAT = Dialect(
    prefix="chatcmpl",
    whole="chat.completion",
    chunk="chat.completion.chunk",
    whole_choice=lambda content: {"message": {"role": "assistant", "content": content}},
    chunk_choice=lambda content: {"delta": {"role": "assistant", "content": content}},
)
COMPLETION = Dialect(
    prefix="cmpl",
    whole="text_completion",
    chunk="text_completion",
    whole_choice=lambda content: {"text": content},
    chunk_choice=lambda content: {"text": content},
)


class OpenAI:
    """The two completion endpoints."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        asked = request.json()
        return await self._respond(asked, conversation(asked), CHAT)

    async def complete(self, request: Request) -> Response:
        """POST /v1/completions."""
        asked = request.json()
        return await self._respond(asked, str(asked.get("prompt", "")), COMPLETION)

    async def _respond(self, asked: dict[str, object], prompt: str, dialect: Dialect) -> Response:
        try:
            job = self._engine.job(asked, prompt, asked.get("max_tokens"))
            tokens = await self._engine.begin(job)
        except HttpError as error:
            raise HttpError(error.status, _error(error)) from error
        head = {
            "id": f"{dialect.prefix}-{uuid.uuid4().hex[:8]}",
            "created": int(time.time()),
            "model": asked["model"],
            "system_fingerprint": "fp_ollama",
        }
        if asked.get("stream"):
            return Response(content_type="text/event-stream", stream=_events(head, job, tokens, dialect))
        words = [token async for token in tokens]
        choice = {"index": 0, **dialect.whole_choice("".join(words)), "finish_reason": job.reason}
        usage = {
            "prompt_tokens": job.prompt_tokens(),
            "completion_tokens": len(words),
            "total_tokens": job.prompt_tokens() + len(words),
        }
        return Response({**head, "object": dialect.whole, "choices": [choice], "usage": usage})


def _error(error: HttpError) -> dict[str, object]:
    body = error.body if isinstance(error.body, dict) else {}
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(error.status, "api_error")
    return {"error": {"message": body.get("error", ""), "type": kind, "param": None, "code": None}}


async def _events(
    head: dict[str, object], job: Job, tokens: AsyncGenerator[str, None], dialect: Dialect
) -> AsyncGenerator[bytes, None]:
    def event(content: str, reason: str | None) -> bytes:
        choice = {"index": 0, **dialect.chunk_choice(content), "finish_reason": reason}
        return b"data: " + compact({**head, "object": dialect.chunk, "choices": [choice]}) + b"\n\n"

    async with aclosing(tokens):
        async for token in tokens:
            if not token:
                yield b""
                return
            yield event(token, None)
    yield event("", job.reason)
    yield b"data: [DONE]\n\n"

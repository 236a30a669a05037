"""Ollama's traffic, out of what it writes to the journal, and the models it holds.

Two kinds of lines count. Gin's access line, one per request when its answer has ended (gin 1.10.0, logger.go,
defaultLogFormatter; without a terminal it has no colours):

    [GIN] 2026/11/23 - 12:34:56 | 200 |  1.234567s |      192.0.2.7 | POST     "/api/generate"

and what llama-server says of each generation (llama.cpp, tools/server/server-context.cpp, print_timings, level
INFO; %12.12s cuts the function's name to `print_timing`). Ollama 0.30 and later starts llama-server with
--log-verbosity 4 whatever OLLAMA_DEBUG says, and copies its words to its own standard error (ollama,
llm/llama_server.go and llm/status.go at fb3076099, 0.33.0-rc2, llama.cpp b10488):

    slot print_timing: id  0 | task 7 | prompt eval time =  21.50 ms /    12 tokens (    1.79 ms per token, ...)
    slot print_timing: id  0 | task 7 |        eval time = 310.00 ms /    24 tokens (   12.92 ms per token, ...)

Older llama.cpp says the same in lines without the beginning.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from ipex_node.samples import Sample
from ipex_node.traffic.counts import Evaluated, Finished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipex_node.traffic.counts import Operation, Outcome

# server/routes.go, GenerateRoutes.
_OPERATIONS: dict[str, Operation] = {
    "/api/generate": "generate",
    "/api/chat": "generate",
    "/v1/chat/completions": "generate",
    "/v1/completions": "generate",
    "/v1/responses": "generate",
    "/v1/messages": "generate",
    "/api/embed": "embed",
    "/api/embeddings": "embed",
    "/v1/embeddings": "embed",
}
_ACCESS = re.compile(
    r'\[GIN\] [\d/]{10} - [\d:]{8} \| +(\d{3}) \| +(\S{1,32}) \| +([0-9A-Fa-f.:]{2,45}) \| POST +"([^"?]*)[^"]*"',
    re.ASCII,
)
_TIMING = re.compile(
    r"(?:slot +print_timings?: id +\d{1,9} \| task -?\d{1,18} \| )?"
    r" *(prompt )?eval time = *(\d{1,15}(?:\.\d{1,9})?) ms / *(\d{1,12}) tokens \(",
    re.ASCII,
)
_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,12}(?:\.\d{1,9})?)(ns|µs|us|ms|s))?", re.ASCII)
_UNITS = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}

MODELS = 32
"""Models shown at most: Ollama holds three per GPU unless told otherwise (envconfig, OLLAMA_MAX_LOADED_MODELS)."""
_NAME = 128
_ODD = re.compile(r"[^A-Za-z0-9._:/@+-]")


def line(text: str) -> Finished | Evaluated | None:
    """Read one line of the journal; none where it counts nothing.

    The node's own proofs come from its own loopback address and are no users' traffic.
    """
    if text.startswith("[GIN]"):
        return _access(text)
    return _timing(text) if "eval time =" in text[:80] else None


def seconds(text: str) -> float | None:
    """Read a duration as Go's time.Duration prints it: `31.4µs`, `1.234567s`, `1m3s`, `2h0m1s`; none for others."""
    found = _DURATION.fullmatch(text)
    if not text or not found:
        return None
    hours, minutes, rest, unit = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + (float(rest) * _UNITS[unit] if rest else 0)


def models(service: str, said: object) -> Iterator[Sample]:
    """Yield the size of each loaded model and how much of it lies on the GPU.

    Args:
        service: Whose models.
        said: The answer to GET /api/ps (api/types.go, ProcessResponse); anything at all.
    """
    listed = said.get("models") if isinstance(said, dict) else None
    rows = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    # By the name as it is shown: two series with the same labels would make the whole page invalid.
    named = {_ODD.sub("_", str(one.get("name", "")))[:_NAME]: one for one in rows[:MODELS] if one.get("name")}
    for name, one in named.items():
        labels = {"service": service, "model": name}
        for family, key in (("ipex_model_size_bytes", "size"), ("ipex_model_gpu_bytes", "size_vram")):
            # Go leaves out what is 0 (omitempty), and that a model has nothing on the GPU is the news.
            value = _amount(one.get(key, 0))
            if value is not None:
                yield Sample(family, labels, value)


def _access(text: str) -> Finished | None:
    found = _ACCESS.fullmatch(text)
    operation = _OPERATIONS.get(found[4]) if found else None
    if not found or operation is None or _is_own(found[3]):
        return None
    return Finished(operation, _outcome(int(found[1])), seconds(found[2]))


def _timing(text: str) -> Evaluated | None:
    found = _TIMING.match(text)
    if not found:
        return None
    return Evaluated("prompt" if found[1] else "generated", int(found[3]), float(found[2]) / 1000)


def _outcome(status: int) -> Outcome:
    # 499 is Ollama's own for a client that has gone (server/routes.go, handleScheduleError).
    if status == 499:
        return "cancelled"
    if status < 400:
        return "success"
    return "refused" if status < 500 else "error"


def _is_own(address: str) -> bool:
    return address == "::1" or address.removeprefix("::ffff:").startswith("127.")


def _amount(value: Any) -> float | None:  # noqa: ANN401 - JSON is anything
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 2**63 and math.isfinite(value) else None

"""How fast an Ollama generates for several clients at once: fixed prompts, fixed numbers of tokens, no luck in them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ipex_node.client import Client
from ipex_node.failure import failed

if TYPE_CHECKING:
    from ipex_node.optimizer.settings import Optimizer

PROMPTS = (
    "Explain in plain words how a refrigerator moves heat from a cold place to a warm one.",
    "Write a short story about a lighthouse keeper who finds a letter in a bottle.",
    "List the steps to replace the inner tube of a bicycle, and say what may go wrong at each.",
    "Compare two ways of sorting a million numbers that do not fit into memory.",
)


def rounds(url: str, model: str, optimizer: Optimizer, seconds: float) -> tuple[float, ...]:
    """Measure, and return tokens per second of all clients together, one value for each round.

    The first request, which loads the model, is not counted.

    Args:
        url: Scheme, address and port of the engine.
        model: What generates.
        optimizer: How many clients, rounds and tokens.
        seconds: Longest time for all of it.

    Raises:
        FailedError: It did not generate what it was asked for, in its time.
    """
    deadline = time.monotonic() + seconds
    _generate(url, model, PROMPTS[0], 1, deadline)
    return tuple(_round(url, model, optimizer, deadline) for _ in range(optimizer.rounds))


def _round(url: str, model: str, optimizer: Optimizer, deadline: float) -> float:
    prompts = [PROMPTS[number % len(PROMPTS)] for number in range(optimizer.clients)]
    started = time.monotonic()
    with ThreadPoolExecutor(optimizer.clients) as pool:
        counts = list(pool.map(lambda prompt: _generate(url, model, prompt, optimizer.tokens, deadline), prompts))
    return sum(counts) / (time.monotonic() - started)


def _generate(url: str, model: str, prompt: str, tokens: int, deadline: float) -> int:
    """Let it generate, and return how many tokens it says it made."""
    options = {"num_predict": tokens, "seed": 1, "temperature": 0}
    question = {"model": model, "prompt": prompt, "stream": False, "options": options}
    answer = Client(url, deadline).post_json("/api/generate", question)
    count = answer.get("eval_count") if isinstance(answer, dict) else None
    if not isinstance(count, int) or count < 1:
        raise failed("POST /api/generate", f"generated nothing: {str(answer)[:200]}")
    return count

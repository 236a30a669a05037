"""What the llama-server below Ollama writes to Ollama's standard error.

Ollama 0.30 and later copies it, at --log-verbosity 4 and without prefixes (ollama, llm/llama_server.go and
llm/status.go at fb3076099). The lines are those of llama.cpp, tools/server/server-context.cpp, print_timings.
"""

import sys

PROMPT_TOKEN_SECONDS = 0.001


def print_timings(task: int, prompt_tokens: int, tokens: int, seconds: float) -> None:
    """Say how fast a finished generation was; one that was cancelled leaves no word."""
    prompt = prompt_tokens * PROMPT_TOKEN_SECONDS
    lines = [
        f"prompt eval time = {_rate(prompt, prompt_tokens)}",
        f"       eval time = {_rate(seconds, tokens)}",
        f"      total time = {(prompt + seconds) * 1000:10.2f} ms / {prompt_tokens + tokens:5d} tokens",
        f"   graphs reused = {max(0, tokens - 2):10d}",
    ]
    for line in lines:
        # %12.12s of the function's name leaves the last letter out.
        print(f"slot print_timing: id {0:2d} | task {task} | {line}", file=sys.stderr)
    sys.stderr.flush()


def _rate(seconds: float, tokens: int) -> str:
    each, speed = seconds * 1000 / tokens, tokens / seconds if seconds else float("inf")
    return f"{seconds * 1000:10.2f} ms / {tokens:5d} tokens ({each:8.2f} ms per token, {speed:8.2f} tokens per second)"

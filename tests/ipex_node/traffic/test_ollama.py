"""Ollama's lines and models."""

import json
import math
import random
import re
from typing import Any

import pytest

from ipex_node.traffic import ollama
from ipex_node.traffic.counts import Evaluated, Finished
from ipex_node.traffic.ollama import line, models, seconds

ACCESS = '[GIN] 2026/11/23 - 12:34:56 | 200 |  1.234567s |      192.0.2.7 | POST     "/api/generate"'
PROMPT = (
    "slot print_timing: id  0 | task 7 | "
    "prompt eval time =      21.50 ms /    12 tokens (    1.79 ms per token,   558.14 tokens per second)"
)
GENERATED = (
    "slot print_timing: id  0 | task 7 | "
    "       eval time =     310.00 ms /    24 tokens (   12.92 ms per token,    77.42 tokens per second)"
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0s", 0),
        ("417ns", 417e-9),
        ("31.4µs", 31.4e-6),
        ("31.4us", 31.4e-6),
        ("250.5ms", 0.2505),
        ("1.234567s", 1.234567),
        ("1m3s", 63),
        ("2h0m1s", 7201),
        ("1h30m0.5s", 5400.5),
        ("", None),
        ("5", None),
        ("-1s", None),
        ("1s1m", None),
        ("1.2.3s", None),
        ("1.5h", None),
        ("\uff11s", None),
    ],
)
def test_durations_as_go_prints_them(text: str, wanted: float | None) -> None:
    """Every unit, sums of units, and nothing for what Go would not print."""
    assert seconds(text) == pytest.approx(wanted)


def test_access_line_of_a_user() -> None:
    """A request that generates, with its whole duration."""
    assert line(ACCESS) == Finished("generate", "success", 1.234567)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "success"), (404, "refused"), (499, "cancelled"), (500, "error"), (503, "error")],
)
def test_status_says_how_it_went(status: int, outcome: str) -> None:
    """A full queue and a dead runner are the engine's fault, an unknown model the request's."""
    found = line(ACCESS.replace("200", str(status)))
    assert isinstance(found, Finished)
    assert found.outcome == outcome


@pytest.mark.parametrize(
    ("path", "operation"),
    [("/v1/chat/completions", "generate"), ("/api/chat?x=1", "generate"), ("/api/embed", "embed"), ("/api/pull", None)],
)
def test_path_says_what_was_asked_for(path: str, operation: str | None) -> None:
    """OpenAI's paths count as Ollama's own, a query changes nothing, and a pull is no inference."""
    found = line(ACCESS.replace("/api/generate", path))
    assert (found.operation if isinstance(found, Finished) else None) == operation


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_nodes_own_proofs_are_no_traffic(address: str) -> None:
    """What comes from loopback is a probe."""
    assert line(ACCESS.replace("192.0.2.7", address)) is None


def test_a_path_cannot_forge_a_line() -> None:
    """Gin quotes the path: what a stranger writes into it stays one word of it."""
    forged = '/x\\" | 200 | 9s | 192.0.2.9 | POST \\"/api/generate'
    assert line(ACCESS.replace("/api/generate", forged)) is None
    assert line(f"user said: {ACCESS}") is None
    assert line(f"user said: {GENERATED}") is None


def test_timings_of_llama_server() -> None:
    """Tokens read and written, and how long it took."""
    assert line(PROMPT) == Evaluated("prompt", 12, 0.0215)
    assert line(GENERATED) == Evaluated("generated", 24, 0.31)


def test_timings_of_older_llama_server() -> None:
    """Before each line had a beginning of its own."""
    assert line("prompt eval time =  21.50 ms /  12 tokens (  1.79 ms per token)") == Evaluated("prompt", 12, 0.0215)
    assert line("       eval time = 310.00 ms /  24 tokens ( 12.92 ms per token)") == Evaluated("generated", 24, 0.31)


@pytest.mark.parametrize(
    "text",
    [
        PROMPT.replace("21.50", "nan"),
        PROMPT.replace("21.50", "-1.00"),
        "llama_perf_context_print:        eval time =  310.00 ms /  24 runs (  12.92 ms per token)",
        "slot print_timing: id  0 | task 7 |       total time =     331.50 ms /    36 tokens",
        'time=2026-11-23T12:00:00Z level=INFO source=routes.go:1544 msg="eval time = 1 ms / 1 tokens ("',
        "",
    ],
)
def test_what_is_no_timing(text: str) -> None:
    """Sums, other programs' words and numbers that are none count nothing."""
    assert line(text) is None


def test_models_and_where_they_lie() -> None:
    """Size and share on the GPU; what Go leaves out is 0."""
    said = {"models": [{"name": "a:latest", "size": 100, "size_vram": 60}, {"name": "b", "size": 7}]}
    assert [(one.family, one.labels["model"], one.value) for one in models("ollama", said)] == [
        ("ipex_model_size_bytes", "a:latest", 100),
        ("ipex_model_gpu_bytes", "a:latest", 60),
        ("ipex_model_size_bytes", "b", 7),
        ("ipex_model_gpu_bytes", "b", 0),
    ]


def test_names_of_strangers_are_bounded() -> None:
    """Thousands of long and odd names become a few short ones, each once."""
    said = {"models": [{"name": f'{number}"\ud800\n' + "x" * 5000, "size": 1} for number in range(1000)]}
    names = [one.labels["model"] for one in models("ollama", said) if one.family == "ipex_model_size_bytes"]
    assert len(names) == len(set(names)) == ollama.MODELS
    assert all(re.fullmatch(r"[A-Za-z0-9._:/@+-]{1,128}", name) for name in names)
    twins = {"models": [{"name": "a b", "size": 1}, {"name": "a_b", "size": 2}]}
    assert len(list(models("ollama", twins))) == 2


def test_no_garbage_escapes_and_no_number_is_impossible() -> None:
    """Twenty thousand damaged lines and five thousand damaged answers."""
    dice = random.Random(4)  # noqa: S311 - a repeatable test
    for _ in range(20_000):
        found = line(damaged(dice, dice.choice((ACCESS, PROMPT, GENERATED))))
        value = found.seconds if found else None
        assert value is None or (value >= 0 and math.isfinite(value))
        assert not isinstance(found, Evaluated) or found.tokens >= 0
    for _ in range(5_000):
        said: Any = {"models": [anything(dice), {"name": anything(dice), "size": anything(dice)}]}
        said = dice.choice((said, anything(dice), {"models": anything(dice)}))
        for one in models("ollama", said):
            assert math.isfinite(one.value)
            json.dumps(one.labels).encode("ascii")


def damaged(dice: random.Random, text: str) -> str:
    """Replace, drop, repeat or insert a few characters."""
    letters = list(text)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(letters))
        piece = dice.choice(
            ("", "9" * dice.randint(1, 400), "µ", "\x00", '"', "|", " ", "-", ".", "\uff11", "\ud800", "e9")
        )
        letters[place : place + dice.randint(0, 3)] = piece or letters[place : place + 2] * dice.randint(0, 3) or [" "]
    return "".join(letters)


def anything(dice: random.Random, depth: int = 3) -> Any:
    """Return some JSON."""
    plain: list[Any] = [
        None,
        True,
        -1,
        0,
        10**400,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x" * 300,
        "\ud800",
        "success",
    ]
    if depth and dice.random() < 0.5:
        few = range(dice.randint(0, 3))
        keys = (
            "name",
            "size",
            "size_vram",
            "models",
            "status",
            "messages",
            "prompt",
            "devices",
            "type",
            "queue_running",
        )
        return dice.choice(
            ([anything(dice, depth - 1) for _ in few], {dice.choice(keys): anything(dice, depth - 1) for _ in few})
        )
    return dice.choice(plain)

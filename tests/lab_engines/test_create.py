"""Quantising through Ollama's documented API, and the node's own way of asking for it."""

import json

import pytest

from ipex_node.failure import FailedError
from ipex_node.optimizer import models
from tests.lab_engines.engine_process import Engine


def _url(engine: Engine) -> str:
    return f"http://127.0.0.1:{engine.port}"


def _lines(engine: Engine, **asked: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in engine.ask("POST", "/api/create", asked).body.splitlines()]


def _level(engine: Engine, model: str) -> str:
    level: str = json.loads(engine.ask("POST", "/api/show", {"model": model}).body)["details"]["quantization_level"]
    return level


def test_an_unquantised_model_is_quantised(ollama: Engine) -> None:
    """The stream tells what is done; the model says what it is, and is smaller."""
    ollama.ask("POST", "/api/pull", {"model": "big:1b-fp16"})
    told = _lines(ollama, model="small", **{"from": "big:1b-fp16"}, quantize="q8_0")

    assert told[0] == {"status": "quantizing F16 model to Q8_0"}
    assert told[-1] == {"status": "success"}
    assert _level(ollama, "small") == "Q8_0"


@pytest.mark.parametrize(
    ("source", "quantize", "said"),
    [
        ("tinyllama", "q8_0", "quantization is only supported for F16, BF16 and F32 models"),
        ("big:1b-fp16", "int3", "unsupported quantization type INT3"),
    ],
)
def test_what_the_quantiser_cannot_do_it_refuses_in_the_stream(
    ollama: Engine, source: str, quantize: str, said: str
) -> None:
    """As server/create.go and fs/ggml/type.go do."""
    ollama.ask("POST", "/api/pull", {"model": "big:1b-fp16"})

    assert _lines(ollama, model="small", **{"from": source}, quantize=quantize)[-1] == {"error": said}


def test_a_node_makes_a_model_and_pulls_its_source(ollama: Engine) -> None:
    """From nothing: the source is pulled, looked at, and quantised."""
    models.make(_url(ollama), "mine:int4", "other:3b-bf16", "q4_K_M", seconds=10)

    assert _level(ollama, "mine:int4") == "Q4_K_M"


def test_a_node_makes_nothing_of_what_is_quantised_already(ollama: Engine) -> None:
    """It looks at the model itself and not at its name, and says why."""
    with pytest.raises(FailedError, match=r"tinyllama is quantised already \(Q4_0\)"):
        models.make(_url(ollama), "mine:again", "tinyllama", "q8_0", seconds=10)
    assert ollama.ask("POST", "/api/show", {"model": "mine:again"}).status == 404


def test_a_model_may_be_kept_as_it_is(ollama: Engine) -> None:
    """bf16 and fp16 quantise nothing: the model has another name."""
    models.make(_url(ollama), "mine:bf16", "other:3b-bf16", "", seconds=10)

    assert _level(ollama, "mine:bf16") == "BF16"

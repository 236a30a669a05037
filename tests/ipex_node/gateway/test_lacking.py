"""Who lacks a model that it declares, and which models nobody has: what the gateway makes of what nodes say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipex_node.gateway.rotation import Heard, Treatments
from ipex_node.gateway.warmth import Models, Warmth

NODES = ("gpu-01", "gpu-02", "gpu-03")
MODELS: Models = {"ollama": {"big": ("gpu-02", "gpu-03"), "small": NODES}}
IN: Treatments = {"ollama": dict.fromkeys(NODES, "in")}
BOTH = ("small", "big")


def _says(*said: tuple[str, ...] | None) -> Warmth:
    """What each node says that it has; None says nothing of its models."""
    warmth = Warmth(MODELS, 60)
    for node, models in zip(NODES, said, strict=True):
        warmth.hear(node, Heard(models={} if models is None else {"ollama": models}))
    return warmth


def test_a_node_without_a_model_lacks_it_where_another_one_has_it() -> None:
    """For each model by itself, and only of those that declare it."""
    warmth = _says((), ("small",), BOTH)

    assert warmth.lacking(IN) == {"ollama": {"big": ("gpu-02",), "small": ("gpu-01",)}}
    assert warmth.unheld() == []


def test_a_model_that_nobody_has_is_lacked_by_nobody_and_told_of() -> None:
    """All are asked: the engine's own 404 is the answer."""
    warmth = _says(("small",), ("small",), ("small",))

    assert warmth.lacking(IN) == {}
    assert warmth.unheld() == [("ollama", "big")]


@pytest.mark.parametrize("how", ["draining", "out"])
def test_the_one_that_has_it_is_away(how: str) -> None:
    """Who gets no requests helps nobody: then those that lack it are asked, and the model is held all the same."""
    warmth = _says((), (), BOTH)
    away: Treatments = {"ollama": {**IN["ollama"], "gpu-03": how}}  # type: ignore[dict-item]

    assert warmth.lacking(away) == {}
    assert warmth.unheld() == []


def test_of_whom_nothing_is_known_it_is_believed_that_it_has_all() -> None:
    """An older program, or an agent that has never answered, keeps its requests."""
    warmth = _says(None, (), None)

    assert warmth.lacking(IN) == {"ollama": {"big": ("gpu-02",), "small": ("gpu-02",)}}
    assert warmth.unheld() == []


def test_who_falls_silent_has_what_it_had() -> None:
    """A missing answer moves no request to a node without the model, and none away from one that has it."""
    warmth = _says((), ("small",), BOTH)
    for node in NODES:
        warmth.hear(node, Heard(silence="no answer within 0.7 s"))

    assert warmth.lacking(IN) == {"ollama": {"big": ("gpu-02",), "small": ("gpu-01",)}}


def test_who_gets_the_model_lacks_it_no_more() -> None:
    """With the next answer."""
    warmth = _says((), BOTH, BOTH)
    warmth.hear("gpu-01", Heard(models={"ollama": ("small",)}))

    assert warmth.lacking(IN) == {}


_HAS = st.none() | st.sets(st.sampled_from(BOTH)).map(tuple)
_HOW = st.sampled_from(["in", "draining", "out"])


@given(st.tuples(_HAS, _HAS, _HAS), st.tuples(_HOW, _HOW, _HOW))
def test_no_model_loses_its_last_node(said: tuple[tuple[str, ...] | None, ...], how: tuple[str, ...]) -> None:
    """Whatever nodes say: of those in rotation that declare a model one is always left, if there was one."""
    treatments: Treatments = {"ollama": dict(zip(NODES, how, strict=True))}  # type: ignore[arg-type]
    lacking = _says(*said).lacking(treatments).get("ollama", {})
    for model, nodes in MODELS["ollama"].items():
        there = {node for node in nodes if treatments["ollama"][node] == "in"}
        left = there - set(lacking.get(model, ()))
        assert bool(left) == bool(there)
        assert set(lacking.get(model, ())) <= set(nodes)

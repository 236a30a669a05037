"""Who waits behind those that have a model loaded."""

import pytest

from ipex_node.gateway import upstreams
from ipex_node.gateway.rotation import Heard, Treatments
from ipex_node.gateway.warmth import Models, Warmth, unserved

NODES = ("gpu-01", "gpu-02", "gpu-03")
MODELS: Models = {"ollama": {"big": ("gpu-02", "gpu-03"), "small": NODES}}


def _in(**other: str) -> Treatments:
    found = dict.fromkeys(NODES, "in") | {node.replace("_", "-"): how for node, how in other.items()}
    return {"ollama": found}  # type: ignore[dict-item]


def _heard(*said: tuple[str, ...] | None) -> Warmth:
    """What each node says is loaded; None says nothing."""
    warmth = Warmth(MODELS, 60)
    for node, models in zip(NODES, said, strict=True):
        warmth.hear(node, Heard(warm={} if models is None else {"ollama": models}))
    return warmth


def test_those_that_lack_the_model_wait_for_those_that_have_it() -> None:
    """For each model by itself, among the nodes that declare it."""
    warmth = _heard(("small",), ("big",), ())

    assert warmth.waiting(_in()) == {"ollama": {"small": ("gpu-02", "gpu-03"), "big": ("gpu-03",)}}


@pytest.mark.parametrize(
    "said",
    [
        ((), (), ()),
        (("small",), ("small", "big"), ("small", "big")),
        (None, None, None),
        (("small",), None, None),
    ],
    ids=["all cold", "all warm", "no news", "no news of those that would wait"],
)
def test_nobody_waits_where_there_is_nothing_to_gain_or_nothing_known(said: tuple[tuple[str, ...] | None, ...]) -> None:
    """Then the gateway counts connections, and nothing else."""
    assert _heard(*said).waiting(_in()) == {}


def test_nobody_waits_for_a_node_that_gets_no_requests() -> None:
    """The last warm node leaves: the others are equal."""
    assert _heard(("small",), (), ()).waiting(_in(gpu_01="draining")) == {}
    assert _heard((), ("small", "big"), ()).waiting(_in(gpu_01="out", gpu_03="out")) == {}


def test_what_falls_silent_is_forgotten() -> None:
    """A node whose agent does not answer waits for nobody, and nobody waits for it."""
    warmth = _heard(("small",), (), ())
    warmth.hear("gpu-01", Heard(silence="no answer within 0.7 s"))

    assert warmth.waiting(_in()) == {}


def test_reloads_for_warmth_alone_are_rare() -> None:
    """Counted from the last reload, whatever that was for."""
    warmth = Warmth(MODELS, 60)
    assert warmth.is_due(0.0)
    warmth.told(100.0)

    assert [warmth.is_due(now) for now in (101.0, 159.9, 160.0)] == [False, False, True]


def test_a_model_is_unserved_when_none_of_its_nodes_gets_requests() -> None:
    """Draining counts as gone."""
    assert list(unserved(MODELS, _in())) == []
    assert list(unserved(MODELS, _in(gpu_02="draining", gpu_03="out"))) == [("ollama", "big", ("gpu-02", "gpu-03"))]


def test_lines_of_the_upstream_say_who_is_first() -> None:
    """One that has the model is first up to its number, and beside those that wait above it; other models stay."""
    declared = """
    server 10.0.0.1:1 max_fails=2; # gpu-01 ollama new
    server 10.0.0.1:1 max_fails=2; # gpu-01 ollama new small 4
    server 10.0.0.2:1 max_fails=2; # gpu-02 ollama new small 4
    server 10.0.0.3:1 max_fails=2; # gpu-03 ollama new small 4
    server 10.0.0.2:1 max_fails=2; # gpu-02 ollama new big 4
"""
    text = upstreams.live(declared, _in(gpu_03="draining"), {"ollama": {"small": ("gpu-02",)}})

    assert (
        text
        == """
    server 10.0.0.1:1 max_fails=2; # gpu-01 ollama new
    server 10.0.0.1:1 max_fails=2 max_conns=4; # gpu-01 ollama new small 4
    server 10.0.0.1:1 max_fails=2 backup; # gpu-01 ollama new small 4
    server 10.0.0.2:1 max_fails=2 backup; # gpu-02 ollama new small 4
    server 10.0.0.3:1 max_fails=2 down; # gpu-03 ollama new small 4
    server 10.0.0.2:1 max_fails=2; # gpu-02 ollama new big 4
"""
    )

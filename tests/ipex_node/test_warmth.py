"""Which declared models a node says are loaded, from what ipex-traffic has left."""

from ipex_node import samples
from ipex_node.samples import Sample
from ipex_node.settings import Service, Settings
from ipex_node.warmth import Warmth
from tests.ipex_node.fake_node import FakeNode

NODE = Settings(
    node="gpu-01",
    sources={"traffic": 60.0},
    services=(
        Service("ollama", 11434, "/api/tags", "ollama", models=("tinyllama", "gemma3:27b")),
        Service("comfyui", 8188, "/system_stats", "comfyui"),
    ),
)


def _measured(node: FakeNode, *models: str) -> None:
    path = node.world.paths.samples("traffic")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [Sample("ipex_model_size_bytes", {"service": "ollama", "model": model}, 1.0) for model in models]
    samples.write(path, rows)


def test_declared_models_are_named_as_data_have_them(node: FakeNode) -> None:
    """The engine shows full names; what nobody declared is not passed on."""
    _measured(node, "tinyllama:latest", "hf.co/somebody/private:Q4")

    assert Warmth(node.world.paths, NODE).loaded() == {"ollama": ["tinyllama"]}


def test_nothing_loaded_is_news(node: FakeNode) -> None:
    """An empty list says that the models would have to be loaded."""
    _measured(node)

    assert Warmth(node.world.paths, NODE).loaded() == {"ollama": []}


def test_without_measures_nothing_is_known(node: FakeNode) -> None:
    """Never measured, or not for long: no word about the service, rather than a wrong one."""
    assert Warmth(node.world.paths, NODE).loaded() == {}
    _measured(node, "tinyllama:latest")
    silent = Settings(node="gpu-01", sources={"traffic": 0.0}, services=NODE.services)

    assert Warmth(node.world.paths, silent).loaded() == {}

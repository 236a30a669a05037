"""Which node declares which model, and what the gateway is told of it."""

import dataclasses
import re

import pytest

from fleet import checks, desired, models
from fleet.model import Fleet, Service


def _changed(fleet: Fleet, name: str, **values: object) -> Fleet:
    """The fleet with other data for Ollama on one node."""

    def service(one: Service) -> Service:
        return dataclasses.replace(one, **values) if one.name == "ollama" else one  # type: ignore[arg-type]

    nodes = tuple(
        dataclasses.replace(node, services=tuple(map(service, node.services))) if node.name == name else node
        for node in fleet.nodes
    )
    return dataclasses.replace(fleet, nodes=nodes)


def _alike(fleet: Fleet) -> Fleet:
    for name in ("gpu-02", "gpu-03"):
        fleet = _changed(fleet, name, models=("tinyllama",))
    return fleet


def _file(fleet: Fleet, name: str) -> str:
    files = desired.generation(fleet["gateway-01"], fleet).files
    return next(file.content.decode() for file in files if file.path == f"/etc/nginx/ipex/{name}.conf")


def test_each_model_has_the_nodes_that_declare_it(example: Fleet) -> None:
    """In the order of the inventory."""
    found = {model: [node.name for node in nodes] for model, nodes in models.by_model(example, "ollama").items()}

    assert found == {"gemma3:27b": ["gpu-02", "gpu-03"], "tinyllama": ["gpu-01", "gpu-02", "gpu-03"]}


def test_where_all_declare_one_model_nothing_is_read_and_nothing_is_chosen(example: Fleet) -> None:
    """The configuration is what it is without models: no mirror, one upstream."""
    fleet = _alike(example)

    assert models.routed(fleet, "ollama") == {}
    assert "mirror" not in _file(fleet, "server")
    assert "mirror" in _file(example, "server")
    assert "-model-" not in _file(fleet, "upstreams")


def test_a_request_for_a_model_begins_at_nodes_that_declare_it(example: Fleet) -> None:
    """Its upstream has these nodes, and no other."""
    text = _file(example, "upstreams")
    upstream = re.search(r'"gemma3:27b" (ollama-\S+);', _file(example, "models"))
    assert upstream
    block = text[text.index(f"upstream {upstream[1]} {{") :].split("}")[0]

    assert re.findall(r"# (\S+) ollama new gemma3:27b 4", block) == ["gpu-02", "gpu-03"]


def test_a_name_without_a_tag_means_the_latest() -> None:
    """As Ollama has it; another tag is another model."""
    assert models.spellings("tinyllama") == models.spellings("tinyllama:latest") == ("tinyllama", "tinyllama:latest")
    assert models.spellings("gemma3:27b") == ("gemma3:27b",)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"models": ("gemma3:27b",)}, "services.ollama.models has no tinyllama"),
        ({"models": ("tinyllama", "gemma3:27b", "gemma3:27b")}, "services.ollama.models has gemma3:27b 2 times"),
        ({"models": ("tinyllama:latest",), "model": "tinyllama:latest"}, "has tinyllama:latest, elsewhere tinyllama"),
        ({"models": ("tinyllama", "a b")}, "services.ollama.model is 'a b'"),
        ({"models": ("tinyllama", "default")}, "services.ollama.model is 'default'"),
        ({"engine": "http", "models": ("tinyllama",)}, "services.ollama.models is set"),
    ],
)
def test_what_cannot_be_meant_is_refused(example: Fleet, values: dict[str, object], what: str) -> None:
    """With the node and the key."""
    found = checks.run(_changed(example, "gpu-03", **values))

    assert [problem for problem in found if problem.where == "gpu-03" and what in problem.what], found


def test_a_model_that_too_few_nodes_declare_is_warned_of(example: Fleet) -> None:
    """On one node alone nobody serves it while that node changes."""
    alone = _changed(example, "gpu-02", models=("tinyllama",))

    assert list(models.warnings(example)) == []
    assert ["gemma3:27b is declared by gpu-03 alone" in problem.what for problem in models.warnings(alone)] == [True]


def test_a_read_name_reaches_the_log_only_where_data_have_it(example: Fleet) -> None:
    """A declared name, `other`, or nothing: what a user writes is compared and not written."""
    text = _file(example, "models")
    block = text[text.index("map $ipex_model_named $ollama_model {") :].split("}")[0]
    values = re.findall(r"^    (\S+) (\S+);$", block, re.MULTILINE)

    assert dict(values) == {
        "default": "other",
        '""': '""',
        '"gemma3:27b"': '"gemma3:27b"',
        '"tinyllama"': '"tinyllama"',
        '"tinyllama:latest"': '"tinyllama"',
    }


def test_the_upstreams_are_checked_alone_and_so_name_no_variable_of_other_files(example: Fleet) -> None:
    """`ipex-node gateway` lets nginx check them by themselves: what is declared elsewhere would be unknown there."""
    text = _file(example, "upstreams")
    made = set(re.findall(r"^map .* \$(\w+) {", text, re.MULTILINE))
    own = {"host", "upstream_addr", "request_method", "request_uri"}
    used = {
        name for line in re.findall(r"^map (.*) \$\w+ {", text, re.MULTILINE) for name in re.findall(r"\$(\w+)", line)
    }

    assert {name for name in used if not name.startswith("cookie_")} <= made | own

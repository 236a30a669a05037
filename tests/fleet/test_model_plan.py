"""Who fetches what from where: simulated over random fleets, locks and disks."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import load, model_lock, model_plan
from fleet.model import Fleet
from fleet.model_lock import Lock, LockedFile, LockedModel
from fleet.model_plan import Stock

EXAMPLE: Fleet = load.from_file("inventory/example.py")
GPUS = [node.name for node in EXAMPLE.with_role("gpu_nodes")]
NAMES = [f"model-{number}" for number in range(6)]


def _file(number: int) -> LockedFile:
    digest = f"sha256:{number:064x}"
    return LockedFile(f"blobs/{digest.replace(':', '-')}", digest, 10 * (number + 1), f"https://up/{digest}")


FILES = [_file(number) for number in range(8)]


def _fleet(declared: dict[str, list[str]]) -> Fleet:
    nodes = tuple(
        dataclasses.replace(
            node,
            services=tuple(
                dataclasses.replace(one, models=tuple(declared[node.name]), model=None) if one.name == "ollama" else one
                for one in node.services
            ),
        )
        if node.name in declared
        else node
        for node in EXAMPLE.nodes
    )
    return dataclasses.replace(EXAMPLE, nodes=nodes)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Fleet, Lock, dict[str, Stock]]:
    """A fleet, its lock, and what its nodes have; a node may not answer."""
    lock = {
        ("ollama", name): LockedModel(
            f"sha256:{name}", "https://up", tuple(draw(st.lists(st.sampled_from(FILES), min_size=1, unique=True))), name
        )
        for name in NAMES
    }
    declared = {name: draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)) for name in GPUS}
    stocks = {
        name: Stock({"ollama": {file.path: file.bytes for file in draw(st.lists(st.sampled_from(FILES), unique=True))}})
        for name in draw(st.lists(st.sampled_from(GPUS), unique=True))
    }
    return _fleet(declared), lock, stocks


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_after_both_rounds_everybody_has_everything_and_each_byte_has_come_once(
    world: tuple[Fleet, Lock, dict[str, Stock]],
) -> None:
    """First what nobody has comes from upstream, to one node; then each finds a mate that has it."""
    fleet, lock, stocks = world
    plan = model_plan.plan(fleet, lock, stocks)
    has = {name: set(stock.files["ollama"]) for name, stock in stocks.items()}
    before = {name: set(paths) for name, paths in has.items()}
    addresses = {node.address: node.name for node in fleet.nodes}
    came: list[str] = []
    for upstream in (True, False):
        for work in plan.works:
            for file in plan.order(work, stocks, upstream=upstream)["files"]:
                if file["path"] in has[work.node.name] or not file["sources"]:
                    continue
                if upstream:
                    came.append(file["path"])
                else:
                    peers = [addresses[url.split("/")[2].split(":")[0]] for url in file["sources"]]
                    assert work.node.name not in peers
                    assert any(file["path"] in has[peer] for peer in peers)
                has[work.node.name].add(file["path"])

    assert len(came) == len(set(came))
    assert not set(came) & set().union(*before.values()) if before else not came
    for work in plan.works:
        assert {file.path for _, model in work.models for file in model.files} <= has[work.node.name]
    uplink = sum(work.upstream_bytes for work in plan.works)
    assert uplink == sum(file.bytes for file in FILES if file.path in came)


def test_what_comes_from_upstream_is_spread_by_its_size() -> None:
    """No node fetches all while the others wait."""
    lock: Lock = {("ollama", name): LockedModel("d", "u", (FILES[number],), name) for number, name in enumerate(NAMES)}
    plan = model_plan.plan(_fleet(dict.fromkeys(GPUS, NAMES)), lock, dict.fromkeys(GPUS, Stock()))
    shares = [work.upstream_bytes for work in plan.works]

    assert sum(shares) == sum(file.bytes for file in FILES[: len(NAMES)])
    assert max(shares) - min(shares) <= max(file.bytes for file in FILES)


def test_the_table_says_how_each_model_stands() -> None:
    """Declared or not, locked or not, whole or not, asked or not."""
    model = LockedModel("sha256:1", "u", (FILES[0], FILES[1]), "manifests/registry.ollama.ai/library/a/latest")
    whole = {file.path: file.bytes for file in model.files}
    stocks = {
        GPUS[0]: Stock({"ollama": whole}, {"ollama": {model.place: "sha256:1"}}),
        GPUS[1]: Stock({"ollama": {FILES[0].path: 10}}, {"ollama": {"manifests/registry.ollama.ai/me/own/1": "x"}}),
    }
    table = model_plan.parity(_fleet({name: ["a", "b"] for name in GPUS}), {("ollama", "a"): model}, stocks)

    assert table["ollama", "a"] == dict(zip(GPUS, ("yes", "partly", "unknown"), strict=True))
    assert set(table["ollama", "b"].values()) == {"unlocked", "unknown"}
    assert table["ollama", "me/own:1"] == dict(zip(GPUS, ("-", "undeclared", "-"), strict=True))


MANIFEST = json.dumps(
    {"config": {"digest": FILES[0].digest, "size": 10}, "layers": [{"digest": FILES[1].digest, "size": 20}]}
).encode()


@pytest.mark.parametrize(
    ("name", "source", "place"),
    [
        ("a", "https://reg/v2/library/a/manifests/latest", "registry.ollama.ai/library/a/latest"),
        ("me/a:7b", "https://reg/v2/me/a/manifests/7b", "registry.ollama.ai/me/a/7b"),
        ("hf.co/Me/A-GGUF:Q4", "https://hf.co/v2/Me/A-GGUF/manifests/Q4", "hf.co/Me/A-GGUF/Q4"),
    ],
)
def test_a_manifest_becomes_a_locked_model_that_survives_its_file(name: str, source: str, place: str) -> None:
    """Letters stay as they were written; a changed manifest is seen."""
    model = model_lock.from_manifest(name, "https://reg", MANIFEST)
    lock: Lock = {("ollama", name): model}
    text = model_lock.dump(lock)

    assert (model.source, model.place) == (source, f"manifests/{place}")
    assert [file.bytes for file in model.files] == [10, 20]
    assert model_lock.parse(text) == lock
    with pytest.raises(ValueError, match="is not what its digest says"):
        model_lock.parse(text.replace('\\"size\\": 20', '\\"size\\": 21'))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"config": {"digest": "x", "size": 1}, "layers": []}', b"\xff"]
)
def test_what_is_no_manifest_is_not_locked(content: bytes) -> None:
    """A page of a proxy's, for example."""
    with pytest.raises(ValueError, match="no manifest"):
        model_lock.from_manifest("a", "https://reg", content)


def test_a_model_that_becomes_another_is_told_from_a_new_one() -> None:
    """Only the first is silent."""
    one, two = (LockedModel(digest, "u", ()) for digest in "12")
    found = model_lock.changes({("o", "a"): one, ("o", "b"): one}, {("o", "a"): two, ("o", "c"): two})

    assert [(change.key[1], change.is_silent) for change in found] == [("a", True), ("b", False), ("c", False)]

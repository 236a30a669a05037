"""The task of models, through the real command line, on the example fleet's fake nodes and a real registry's double."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import load, models
from fleet.model_store import ModelStore
from lab.registry import Registry, Shelf
from operations import registry
from tests.fake_fleet import FakeFleet

GPUS = ("gpu-01", "gpu-02", "gpu-03")
SMALL, BIG = "library/tinyllama:latest", "library/gemma3:27b"
_GROUPS = '''"""A fleet with a group of nodes that have a bigger model."""

gpu_nodes = [(f"gpu-0{number}", {"ssh_hostname": f"203.0.113.1{number}"}) for number in (1, 2, 3)]
big = (["gpu-02"], {"node_overrides": {"ollama": {"models": ["tinyllama", "gemma3:27b"]}}})
gateways = [("gateway-01", {"ssh_hostname": "203.0.113.21"}), ("gateway-02", {"ssh_hostname": "203.0.113.22"})]
monitors = [("monitor-01", {"ssh_hostname": "203.0.113.31"})]
'''


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's lock is."""
    path = tmp_path / "example.models.lock"
    monkeypatch.setattr(ModelStore, "lock_of", lambda _store, _environment: str(path))
    return path


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A registry on loopback, which is asked in place of the declared one."""
    shelf = Shelf()
    shelf.publish(SMALL, 100)
    shelf.publish(BIG, 5000, 20)
    with Registry(shelf, "127.0.0.1", 0) as running:
        url, resolved = f"http://127.0.0.1:{running.server_port}", registry.resolved
        monkeypatch.setattr(registry, "resolved", lambda fleet, _declared: resolved(fleet, url))
        yield shelf


def _act(nodes: FakeFleet, *data: str, status: int = 0) -> str:
    run = nodes.run(*[word for one in data for word in ("--data", one)], deploy="tasks/models.py")
    assert run.status == status, run.output
    return run.output


def _has(nodes: FakeFleet, node: str, shelf: Shelf, *names: str, **manifests: str) -> None:
    """Let a node have some of the registry's models whole, and others by their manifests alone."""
    files: dict[str, int] = {}
    found = {f"manifests/registry.ollama.ai/library/{name.replace('_', '/')}": said for name, said in manifests.items()}
    for name in names:
        manifest = json.loads(shelf.manifests[name])
        for one in (manifest["config"], *manifest["layers"]):
            files[f"blobs/{one['digest'].replace(':', '-')}"] = one["size"]
        found[f"manifests/registry.ollama.ai/{name.replace(':', '/')}"] = _digest(shelf, name)
    ollama = {"files": files, "manifests": found, "wrong": []}
    services = {"ollama": ollama, "comfyui": {"files": {}, "manifests": {}, "wrong": []}}
    answer = {"ok": True, "failures": [], "free_bytes": 10**12, "locked": {}, "services": services}
    nodes.answer(node, " models show", json.dumps(answer))


def _digest(shelf: Shelf, name: str) -> str:
    """The digest of a model's manifest."""
    again = Shelf()
    sizes = [len(shelf.blobs[one["digest"]]) for one in json.loads(shelf.manifests[name])["layers"]]
    return again.publish(name, *sizes)


def _fetches(nodes: FakeFleet, **answer: Any) -> None:
    for node in GPUS:
        said = {"ok": True, "failures": [], "fetched_bytes": 1, "files": [], "refused": [], "placed": [], **answer}
        nodes.answer(node, " models fetch", json.dumps(said))


def _orders(nodes: FakeFleet) -> list[tuple[str, dict[str, Any]]]:
    """The orders that nodes were given, in turn."""
    return [(node, json.loads(text)) for node, command, text in nodes.given if " models fetch" in command]


def test_what_data_declare_is_locked_and_no_node_is_asked(nodes: FakeFleet, lock: Path, shelf: Shelf) -> None:
    """Each model once, with what its registry has; a second time nothing changes."""
    said = _act(nodes, "action=lock")
    locked = json.loads(lock.read_text())["models"]["ollama"]

    assert "2 models" in said
    assert {name: one["digest"] for name, one in locked.items()} == {
        "tinyllama": _digest(shelf, SMALL),
        "gemma3:27b": _digest(shelf, BIG),
    }
    assert not [command for _, command in nodes.sent if "models" in command]
    assert "0 changed" in _act(nodes, "action=lock")


def test_a_model_that_no_registry_has_is_named_and_nothing_is_locked(
    nodes: FakeFleet, lock: Path, shelf: Shelf
) -> None:
    """Half a lock would be worse than none."""
    del shelf.manifests[BIG]

    said = _act(nodes, "action=lock", status=1)

    assert "ollama/gemma3:27b" in said
    assert "404" in said
    assert not lock.exists()


def test_each_byte_is_asked_of_upstream_once_and_nobody_gets_what_it_does_not_declare(
    nodes: FakeFleet, lock: Path, shelf: Shelf
) -> None:
    """First each file by one node, then by the others from their mates; gpu-01 is outside the big model's group."""
    _act(nodes, "action=lock")
    for node in GPUS:
        _has(nodes, node, shelf)
    _fetches(nodes)

    _act(nodes, "action=apply")

    asked = [(node, source) for node, order in _orders(nodes) for file in order["files"] for source in file["sources"]]
    upstream = [source for _, source in asked if "127.0.0.1" in source]
    big = {f"blobs/{one['digest'].replace(':', '-')}" for one in json.loads(shelf.manifests[BIG])["layers"]}
    assert len(upstream) == len(set(upstream)) == len(shelf.blobs)
    assert all("203.0.113.1" in source for _, source in asked if source not in upstream)
    assert {node for node, _ in asked} == set(GPUS)
    for node, order in _orders(nodes):
        ordered = {file["path"] for file in order["files"]}
        assert ("gemma3:27b" in {model["name"] for model in order["models"]}) == (node != "gpu-01")
        assert bool(ordered & big) == (node != "gpu-01")
    assert lock.exists()


def test_a_group_of_an_inventory_has_models_of_its_own_and_nobody_else_gets_them(
    tmp_path: Path, nodes: FakeFleet
) -> None:
    """A group with its data, as pyinfra has them."""
    assert nodes.fleet.environment == "example"
    path = tmp_path / "example.py"
    path.write_text(_GROUPS)
    fleet = load.from_file(str(path))

    declared = {node.name: models.declared(node.services[0]) for node in fleet.with_role("gpu_nodes")}

    assert declared == {"gpu-01": ("tinyllama",), "gpu-02": ("tinyllama", "gemma3:27b"), "gpu-03": ("tinyllama",)}


def test_undeclared_models_are_listed_and_stay(nodes: FakeFleet, lock: Path, shelf: Shelf) -> None:
    """Looking, planning and fetching remove nothing; only who is named goes, and only where nobody declares it."""
    _act(nodes, "action=lock")
    for node in GPUS:
        _has(nodes, node, shelf, SMALL, BIG)
    _has(nodes, "gpu-03", shelf, SMALL, BIG, mine_latest="sha256:0")
    _fetches(nodes)
    removed = {"ok": True, "failures": [], "freed_bytes": 3 << 30}
    for node in GPUS:
        nodes.answer(node, " cleanup ", json.dumps(removed))

    table = _act(nodes)
    for action in ("plan", "apply"):
        _act(nodes, f"action={action}")
        assert not [command for _, command in nodes.sent if "cleanup" in command]
    rows = {line.split()[0]: line.split()[-3:] for line in table.splitlines() if line.strip().startswith("ollama/")}
    assert rows["ollama/mine:latest"] == ["-", "-", "undeclared"]
    assert rows["ollama/gemma3:27b"] == ["undeclared", "yes", "yes"]

    assert "Name the models" in _act(nodes, "action=prune", status=1)
    assert "without declaring it" in _act(nodes, "action=prune", "model=tinyllama", status=1)
    assert not [command for _, command in nodes.sent if "cleanup" in command]

    said = _act(nodes, "action=prune", "model=gemma3:27b")
    assert "gpu-01: freed 3.00 GiB" in said
    assert [node for node, command in nodes.sent if " cleanup --json --models gemma3:27b" in command] == ["gpu-01"]
    assert lock.exists()


def test_a_model_that_has_become_another_is_locked_only_by_name(nodes: FakeFleet, lock: Path, shelf: Shelf) -> None:
    """The lock stays as it was committed until somebody says that it is meant."""
    _act(nodes, "action=lock")
    before = lock.read_text()
    shelf.publish(BIG, 7000)

    assert "gemma3:27b was" in _act(nodes, "action=lock", status=1)
    assert lock.read_text() == before
    _act(nodes, "action=lock", "model=gemma3:27b")
    assert _digest(shelf, BIG) in lock.read_text()


def test_a_node_that_fails_is_named_and_a_node_that_is_away_is_unknown(
    nodes: FakeFleet, lock: Path, shelf: Shelf
) -> None:
    """The others get what they lack, and the run says that it did not do all."""
    _act(nodes, "action=lock")
    for node in GPUS:
        _has(nodes, node, shelf)
    why = {"what": "the disk", "why": "has 5 bytes free", "cure": "declare fewer models for this node"}
    _fetches(nodes)
    nodes.answer("gpu-02", " models fetch", json.dumps({"ok": False, "failures": [why]}), succeeded=False)

    said = _act(nodes, "action=apply", status=1)
    nodes.unreachable = {"gpu-03"}
    table = json.loads(_json(nodes))

    assert "gpu-02: the disk: has 5 bytes free" in said
    assert {one["nodes"]["gpu-03"] for one in table["models"]} == {"unknown"}
    assert lock.exists()


def _json(nodes: FakeFleet) -> str:
    run = nodes.run("-y", "--data", "json=true", deploy="tasks/models.py")
    assert run.status == 1
    return run.stdout


def test_without_a_lock_nothing_is_fetched_and_an_unknown_action_names_all(nodes: FakeFleet, lock: Path) -> None:
    """Each refusal says what to do."""
    for node in GPUS:
        _has(nodes, node, Shelf())

    assert "Write it with --data action=lock" in _act(nodes, "action=apply", status=1)
    assert "parity, lock, plan, apply, prune" in _act(nodes, "action=fetch", status=1)
    lock.write_text("{")
    assert "Take the last one that was committed" in _act(nodes, "action=plan", status=1)
    assert not _orders(nodes)

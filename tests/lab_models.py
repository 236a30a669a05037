"""The lab's models, for tests: what nodes declare, what engines have, and a registry that counts."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.registry import Registry, Shelf
from tests.lab_fleet import INVENTORY, PYINFRA, ROOT, Lab

LOCK = Path("/var/lib/ipex-lab/models.lock")
STORE = "/var/lib/private/ollama/models"
_INVENTORY = '''"""The lab's fleet, with more nodes or other models."""

import runpy as _runpy

_base = _runpy.run_path({base!r})
_models = {models!r}
_more = {{"node_overrides": {{"ollama": {{"models": _models}}}}}} if _models else {{}}
gpu_nodes = [(name, {{**data, **_more}}) for name, data in [*_base["gpu_nodes"], *{guests!r}]]
gateways = _base["gateways"]
monitors = _base["monitors"]
'''


def inventory(folder: str, models: Iterable[str] = (), guests: dict[str, str] | None = None) -> Path:
    """Write an inventory of the lab's fleet; it is called lab.py, so that group_data/lab.py applies to it.

    Args:
        folder: its folder's name.
        models: what every GPU node declares; the lab's own words without any.
        guests: more GPU nodes, by name, each with its address.
    """
    path = ROOT / "build" / folder / "lab.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    more = [(name, {"ssh_hostname": address}) for name, address in (guests or {}).items()]
    path.write_text(_INVENTORY.format(base=str(ROOT / INVENTORY), models=list(models), guests=more))
    return path


class Models:
    """The task, with a fleet that declares these models on every GPU node."""

    def __init__(self, names: list[str], guests: dict[str, str] | None = None) -> None:
        self.names = names
        self._inventory = inventory("models", ["tinyllama", *names], guests)

    def run(self, *data: str) -> subprocess.CompletedProcess[str]:
        """Run the task, whatever comes of it."""
        words = [word for one in data for word in ("--data", one)]
        command = [str(PYINFRA), *words, str(self._inventory), "tasks/models.py"]
        return subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
        )

    def must(self, *data: str) -> str:
        """Run the task, which must succeed."""
        result = self.run(*data)
        assert result.returncode == 0, result.stdout
        return result.stdout


@contextmanager
def counting_registry() -> Iterator[Shelf]:
    """A registry with the model that proves every engine, and whatever a test adds; no lock before and after."""
    LOCK.unlink(missing_ok=True)
    shelf = Shelf()
    shelf.publish("library/tinyllama:latest", 100_000)
    with Registry(shelf):
        yield shelf
    LOCK.unlink(missing_ok=True)


def ask(lab: Lab, node: str, method: str, call: str, model: str) -> None:
    """Let a node's engine change a model of its own."""
    body = json.dumps({"model": model})
    lab.output(node, f"curl -sf -X {method} http://127.0.0.1:11434/api/{call} -d '{body}'")


def digests(lab: Lab, node: str) -> dict[str, str]:
    """What a node's engine says of its models."""
    said = json.loads(lab.output(node, "curl -sf http://127.0.0.1:11434/api/tags"))
    return {one["name"]: f"sha256:{one['digest']}" for one in said["models"]}


def forget(lab: Lab, nodes: Iterable[str]) -> None:
    """What tests have brought goes again, and the engines have what they began with."""
    for node in nodes:
        for name in set(digests(lab, node)) - {"llama3.2:latest"}:
            ask(lab, node, "DELETE", "delete", name)
        ask(lab, node, "POST", "pull", "tinyllama")
        lab.output(node, "rm -rf /var/lib/ipex-models/ready /var/lib/ipex-models/incoming /var/lib/ipex-models/*.json")


def reaches_parity(lab: Lab, shelf: Shelf, models: Models, nodes: list[str], sizes: tuple[int, ...]) -> None:
    """Lock, apply, and look at what the engines have and what the registry has sent."""
    proving = set(shelf.blobs)
    wanted = {f"{name}:latest": shelf.publish(f"library/{name}:latest", *sizes) for name in models.names}
    models.must("action=lock")
    said = models.must("action=apply")
    table = models.must()
    total = (len(models.names) + 1) * len(nodes)

    assert f"{total} of {total} declared models are where they are declared" in table, said + table
    for node in nodes:
        assert wanted.items() <= digests(lab, node).items()
    # An earlier test may have brought the one model that all have.
    crossed = {digest: shelf.sent[digest] for digest in shelf.blobs if digest not in proving}
    assert crossed == {digest: len(shelf.blobs[digest]) for digest in crossed}
    # A second run has nothing to do, and asks nobody for anything.
    assert "Nothing to fetch" in models.must("action=apply")
    assert crossed == {digest: shelf.sent[digest] for digest in crossed}

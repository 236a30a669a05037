"""Models come into the fleet once and from node to node, through the real task, nginx and engines."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.registry import Registry, Shelf
from tests.lab_fleet import INVENTORY, PYINFRA, ROOT, Lab

pytestmark = pytest.mark.lab

LOCK = Path("/var/lib/ipex-lab/models.lock")
STORE = "/var/lib/private/ollama/models"
_INVENTORY = '''"""The lab's fleet, which declares other models."""

import runpy as _runpy

_base = _runpy.run_path({base!r})
_models = {{"node_overrides": {{"ollama": {{"models": {models!r}}}}}}}
gpu_nodes = [(name, {{**data, **_models}}) for name, data in _base["gpu_nodes"]]
gateways = _base["gateways"]
monitors = _base["monitors"]
'''


class Models:
    """The task, with a fleet that declares these models on every GPU node."""

    def __init__(self, names: list[str]) -> None:
        self._inventory = ROOT / "build" / "models" / "lab.py"
        self._inventory.parent.mkdir(parents=True, exist_ok=True)
        self._inventory.write_text(_INVENTORY.format(base=str(ROOT / INVENTORY), models=["tinyllama", *names]))

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


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A registry with the model that proves every engine, and whatever a test adds."""
    LOCK.unlink(missing_ok=True)
    shelf = Shelf()
    shelf.publish("library/tinyllama:latest", 100_000)
    with Registry(shelf):
        yield shelf
    LOCK.unlink(missing_ok=True)


@pytest.fixture(autouse=True, scope="module")
def _forgotten(lab: Lab) -> Iterator[None]:
    """What the tests have brought goes again, and the engines have what they began with."""
    yield
    for node in lab.gpus:
        for name in set(_digests(lab, node)) - {"llama3.2:latest"}:
            _ask(lab, node, "DELETE", "delete", name)
        _ask(lab, node, "POST", "pull", "tinyllama")
        lab.output(node, "rm -rf /var/lib/ipex-models/ready /var/lib/ipex-models/incoming /var/lib/ipex-models/*.json")


def _ask(lab: Lab, node: str, method: str, call: str, model: str) -> None:
    """Let a node's engine change a model of its own."""
    body = json.dumps({"model": model})
    lab.output(node, f"curl -sf -X {method} http://127.0.0.1:11434/api/{call} -d '{body}'")


def _digests(lab: Lab, node: str) -> dict[str, str]:
    """What a node's engine says of its models."""
    said = json.loads(lab.output(node, "curl -sf http://127.0.0.1:11434/api/tags"))
    return {one["name"]: f"sha256:{one['digest']}" for one in said["models"]}


def _order(lab: Lab, node: str, order: dict[str, object]) -> dict[str, object]:
    """Give a node an order of a test's own."""
    lab.output(node, f"cat > /run/order.json <<'E'\n{json.dumps(order)}\nE")
    answer: dict[str, object] = json.loads(lab.run(node, "ipex-node models fetch < /run/order.json").stdout)
    return answer


def _file(shelf: Shelf, digest: str, *sources: str) -> dict[str, object]:
    path = f"blobs/{digest.replace(':', '-')}"
    length = len(shelf.blobs[digest])
    return {"service": "ollama", "path": path, "digest": digest, "bytes": length, "sources": list(sources)}


def _peer(lab: Lab, node: str, digest: str) -> str:
    return f"http://{lab.node(node).address}:9096/ollama/blobs/{digest.replace(':', '-')}"


def _reaches_parity(lab: Lab, shelf: Shelf, names: list[str], sizes: tuple[int, ...]) -> None:
    """Lock, apply, and look at what the engines have and what the registry has sent."""
    proving = set(shelf.blobs)
    wanted = {f"{name}:latest": shelf.publish(f"library/{name}:latest", *sizes) for name in names}
    models = Models(names)
    models.must("action=lock")
    said = models.must("action=apply")
    table = models.must()
    total = (len(names) + 1) * len(lab.gpus)

    assert f"{total} of {total} declared models are where they are declared" in table, said + table
    for node in lab.gpus:
        assert wanted.items() <= _digests(lab, node).items()
    # An earlier test may have brought the one model that all have.
    crossed = {digest: shelf.sent[digest] for digest in shelf.blobs if digest not in proving}
    assert crossed == {digest: len(shelf.blobs[digest]) for digest in crossed}
    # A second run has nothing to do, and asks nobody for anything.
    assert "Nothing to fetch" in models.must("action=apply")
    assert crossed == {digest: shelf.sent[digest] for digest in crossed}


def test_every_byte_crosses_the_uplink_once_and_every_node_has_every_model(lab: Lab, shelf: Shelf) -> None:
    """The registry counts; the engines list what the lock says; whoever restarts loses nothing."""
    _reaches_parity(lab, shelf, [f"copied-{number}" for number in range(5)], (300_000, 5_000))

    node = lab.gpus[0]
    before = _digests(lab, node)
    lab.output(node, "systemctl restart ollama-ipex")
    # systemd's word for started is earlier than the engine's.
    lab.output(node, "curl -s --retry 20 --retry-delay 1 --retry-connrefused http://127.0.0.1:11434/api/version")
    lab.output(node, "ipex-node probe")
    assert _digests(lab, node) == before


@pytest.mark.proof
def test_thirty_models_reach_parity(lab: Lab, shelf: Shelf) -> None:
    """Thirty models over all GPU nodes; with IPEX_LAB_INVENTORY over four."""
    _reaches_parity(lab, shelf, [f"many-{number}" for number in range(30)], (2_000_000, 20_000, 500))


def test_a_model_that_becomes_another_under_its_name_is_not_locked_silently(shelf: Shelf) -> None:
    """The lock stays what it was until the model is named."""
    models = Models(["moving"])
    first = shelf.publish("library/moving:latest", 1000)
    models.must("action=lock")
    second = shelf.publish("library/moving:latest", 2000)
    refused = models.run("action=lock")
    kept = LOCK.read_text()
    models.must("action=lock", "model=moving")

    assert refused.returncode == 1
    assert "moving was " + first[:19] in refused.stdout
    assert first in kept
    assert second not in kept
    assert second in LOCK.read_text()


def test_a_download_that_is_cut_goes_on_where_it_ended(shelf: Shelf) -> None:
    """No byte comes twice."""
    shelf.publish("library/cut:latest", 3_000_000)
    digest = next(digest for digest, content in shelf.blobs.items() if len(content) == 3_000_000)
    shelf.cut_after[digest] = 1_000_000
    models = Models(["cut"])
    models.must("action=lock")
    models.must("action=apply")

    assert shelf.sent[digest] == 3_000_000
    assert not shelf.cut_after


def test_a_download_whose_program_is_killed_goes_on_where_it_ended(lab: Lab, shelf: Shelf) -> None:
    """What has come is not fetched again by the next run."""
    shelf.publish("library/slow:latest", 3_000_000)
    digest = next(digest for digest, content in shelf.blobs.items() if len(content) == 3_000_000)
    url = f"http://198.18.0.1:5000/v2/library/slow/blobs/{digest}"
    order = {"keep_free_bytes": 0, "files": [_file(shelf, digest, url)], "models": []}
    node = lab.gpus[0]
    lab.output(node, f"cat > /run/order.json <<'E'\n{json.dumps({**order, 'rate': '500k'})}\nE")
    lab.run(node, "timeout -s KILL 3 ipex-node models fetch < /run/order.json")
    begun = int(lab.output(node, f"stat -c %s /var/lib/ipex-models/incoming/{digest[7:]}"))
    answer = _order(lab, node, {**order, "rate": ""})

    assert 0 < begun < 3_000_000
    assert answer["ok"], answer
    assert answer["fetched_bytes"] == 3_000_000 - begun


def test_a_corrupt_file_of_another_node_is_refused_and_fetched_elsewhere(lab: Lab, shelf: Shelf) -> None:
    """Its length is right and its content is not."""
    shelf.publish("library/copied:latest", 400_000)
    Models(["copied"]).must("action=lock")
    Models(["copied"]).must("action=apply")
    digest = next(digest for digest, content in shelf.blobs.items() if len(content) == 400_000)
    blob = f"{STORE}/{_file(shelf, digest)['path']}"
    ill, well, node = lab.gpus[0], lab.gpus[1], lab.gpus[2]
    lab.output(ill, f"printf X | dd of={blob} bs=1 seek=200000 conv=notrunc status=none")
    lab.output(node, f"rm {blob}")
    sources = (_peer(lab, ill, digest), _peer(lab, well, digest))
    answer = _order(
        lab, node, {"rate": "", "keep_free_bytes": 0, "files": [_file(shelf, digest, *sources)], "models": []}
    )

    assert answer["ok"], answer
    assert answer["refused"] == [{"file": f"ollama/{_file(shelf, digest)['path']}", "source": sources[0]}]
    assert [one["source"] for one in answer["files"]] == [sources[1]]  # type: ignore[attr-defined]
    # Who reads every file finds it, and apply mends it from the others.
    mended = Models(["copied"]).must("action=apply", "verify=true")
    assert lab.output(ill, f"sha256sum < {blob}").split()[0] == digest[7:], mended
    assert shelf.sent[digest] == 400_000


def test_a_disk_without_room_is_left_as_it_is(lab: Lab, shelf: Shelf) -> None:
    """Before the first byte where it is known, and afterwards where somebody else fills the disk meanwhile."""
    shelf.publish("library/large:latest", 6_000_000)
    digest = next(digest for digest, content in shelf.blobs.items() if len(content) == 6_000_000)
    order: dict[str, object] = {
        "rate": "2M",
        "keep_free_bytes": 1 << 60,
        "files": [_file(shelf, digest, f"http://198.18.0.1:5000/v2/library/large/blobs/{digest}")],
        "models": [],
    }
    node = lab.gpus[0]
    refused = _order(lab, node, order)
    sent = shelf.sent[digest]
    lab.output(node, "mount -t tmpfs -o size=8m tmpfs /var/lib/ipex-models")
    try:
        lab.output(node, f"cat > /run/order.json <<'E'\n{json.dumps({**order, 'keep_free_bytes': 0})}\nE")
        fill = "dd if=/dev/zero of=/var/lib/ipex-models/fill bs=1M count=7 status=none 2>/dev/null"
        full = lab.run(node, f"ipex-node models fetch < /run/order.json & sleep 1; {fill}; wait $!")
        left = lab.output(node, "ls -A /var/lib/ipex-models/incoming")
    finally:
        lab.output(node, "umount /var/lib/ipex-models")

    assert not refused["ok"]
    assert "must stay free" in json.dumps(refused)
    assert sent == 0
    assert "No space left on device" in full.stdout
    assert left == ""


def test_other_machines_get_no_model_and_nobody_gets_anything_else(lab: Lab) -> None:
    """The gateways do not reach the port; GPU nodes get blobs by their names alone."""
    asked, asking = lab.node(lab.gpus[0]).address, lab.gpus[1]
    outside = lab.run(lab.gateway, f"curl -s -m 3 http://{asked}:9096/healthz")
    paths = ("ollama/manifests/registry.ollama.ai/library/tinyllama/latest", "ollama/blobs/..%2f..%2fx", "etc/passwd")
    codes = [
        lab.output(asking, f"curl -s -m 5 -o /dev/null -w '%{{http_code}}' --path-as-is http://{asked}:9096/{path}")
        for path in (*paths, "healthz")
    ]

    assert outside.returncode != 0
    assert codes == ["404", "404", "404", "200"]

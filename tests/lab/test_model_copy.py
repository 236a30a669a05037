"""Models come into the fleet once and from node to node, through the real task, nginx and engines."""

import json
from collections.abc import Iterator

import pytest

from lab.registry import Shelf
from tests.lab_fleet import Lab
from tests.lab_models import LOCK, STORE, Models, counting_registry, digests, forget, reaches_parity

pytestmark = pytest.mark.lab


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A registry that counts."""
    with counting_registry() as shelf:
        yield shelf


@pytest.fixture(autouse=True, scope="module")
def _forgotten(lab: Lab) -> Iterator[None]:
    """What the tests have brought goes again."""
    yield
    forget(lab, lab.gpus)


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


def test_every_byte_crosses_the_uplink_once_and_every_node_has_every_model(lab: Lab, shelf: Shelf) -> None:
    """The registry counts; the engines list what the lock says; whoever restarts loses nothing."""
    models = Models([f"copied-{number}" for number in range(5)])
    reaches_parity(lab, shelf, models, lab.gpus, (300_000, 5_000))

    node = lab.gpus[0]
    before = digests(lab, node)
    lab.output(node, "systemctl restart ollama-ipex")
    # systemd's word for started is earlier than the engine's.
    lab.output(node, "curl -s --retry 20 --retry-delay 1 --retry-connrefused http://127.0.0.1:11434/api/version")
    lab.output(node, "ipex-node probe")
    assert digests(lab, node) == before


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

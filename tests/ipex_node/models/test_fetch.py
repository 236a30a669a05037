"""An order carried out on a tree that stands for a node, by the real curl from a registry on loopback."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipex_node.failure import FailedError
from ipex_node.models import order, run, stock
from ipex_node.optimizer import locked
from ipex_node.optimizer.locked import Checked
from ipex_node.paths import Paths
from ipex_node.settings import Service, Settings
from lab.registry import Registry, Shelf

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")

NAME = "library/small:latest"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A registry with one model."""
    shelf = Shelf()
    shelf.publish(NAME, 200_000)
    with Registry(shelf, "127.0.0.1", 0) as registry:
        shelf.files["port"] = str(registry.server_port).encode()
        yield shelf


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A node whose engine has been started."""
    (tmp_path / "var/lib/private/ollama/models").mkdir(parents=True)
    return Paths(tmp_path)


def _order(shelf: Shelf, *sources: str, **more: object) -> str:
    """Ask for the model, each file from these sources; `{digest}` stands for a file's own."""
    manifest = shelf.manifests[NAME].decode()
    layers = [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]
    base = f"http://127.0.0.1:{shelf.files['port'].decode()}"
    files = [
        {
            "service": "ollama",
            "path": f"blobs/{layer['digest'].replace(':', '-')}",
            "digest": layer["digest"],
            "bytes": layer["size"],
            "sources": [base + source.format(digest=layer["digest"]) for source in sources],
            **more,
        }
        for layer in layers
    ]
    model = {
        "service": "ollama",
        "name": "small",
        "digest": order.digest_of(manifest),
        "files": [f"ollama/{file['path']}" for file in files],
        "place": "manifests/registry.ollama.ai/library/small/latest",
        "manifest": manifest,
    }
    return json.dumps({"rate": "", "keep_free_bytes": 0, "files": files, "models": [model]})


UPSTREAM = "/v2/library/small/blobs/{digest}"


def test_a_model_appears_whole_with_the_owner_of_its_directory(shelf: Shelf, paths: Paths) -> None:
    """Its blobs by their names, its manifest byte for byte; a second order fetches nothing."""
    answer = run.fetch(paths, _order(shelf, UPSTREAM))
    models = order.directory(paths, "ollama")
    sent = dict(shelf.sent)
    again = run.fetch(paths, _order(shelf, UPSTREAM))

    assert answer["ok"], answer
    assert answer["placed"] == ["ollama/small"]
    assert (models / "manifests/registry.ollama.ai/library/small/latest").read_bytes() == shelf.manifests[NAME]
    for digest, content in shelf.blobs.items():
        blob = models / "blobs" / digest.replace(":", "-")
        assert blob.read_bytes() == content
        assert (blob.stat().st_uid, blob.stat().st_mode & 0o777) == (models.stat().st_uid, 0o644)
    assert stock.locked(paths) == {"ollama": {"small": order.digest_of(shelf.manifests[NAME].decode())}}
    assert (again["fetched_bytes"], again["placed"], dict(shelf.sent)) == (0, [], sent)


def test_a_cut_is_continued_and_no_byte_comes_twice(shelf: Shelf, paths: Paths) -> None:
    """By the same run, where the source still answers."""
    digest = next(digest for digest, content in shelf.blobs.items() if len(content) == 200_000)
    shelf.cut_after[digest] = 70_000
    answer = run.fetch(paths, _order(shelf, UPSTREAM))

    assert answer["ok"], answer
    assert shelf.sent[digest] == 200_000


@pytest.mark.parametrize("wrong", ["", "x" * 200_000], ids=["another length", "the same length"])
def test_a_source_that_lies_is_refused_and_the_next_one_asked(shelf: Shelf, paths: Paths, wrong: str) -> None:
    """What came from it does not stay."""
    shelf.files["lie"] = wrong.encode()
    answer = run.fetch(paths, _order(shelf, "/files/lie", UPSTREAM))
    models = order.directory(paths, "ollama")

    assert answer["ok"], answer
    assert all((models / "blobs" / digest.replace(":", "-")).read_bytes() == it for digest, it in shelf.blobs.items())
    assert bool(answer["refused"]) == bool(wrong)


def test_a_lie_that_was_cut_is_not_held_against_who_continues_it(shelf: Shelf, paths: Paths) -> None:
    """A beginning of unknown origin is given up, and the source asked from the first byte."""
    text = _order(shelf, UPSTREAM)
    for file in order.parse(text).files:
        part = paths.models / "incoming" / file.digest.removeprefix("sha256:")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"lie")
    answer = run.fetch(paths, text)

    assert answer["ok"], answer
    assert answer["refused"] == []


def test_a_model_of_which_a_file_is_missing_does_not_appear(shelf: Shelf, paths: Paths) -> None:
    """What was fetched waits for the rest, and for the next order."""
    gone = next(digest for digest, content in shelf.blobs.items() if len(content) == 200_000)
    content = shelf.blobs.pop(gone)
    answer = run.fetch(paths, _order(shelf, UPSTREAM))
    manifests = order.directory(paths, "ollama") / "manifests"
    there = manifests.exists()
    shelf.blobs[gone] = content
    mended = run.fetch(paths, _order(shelf, UPSTREAM))

    assert not answer["ok"]
    assert "404" in answer["failures"][0]["why"]
    assert not there
    assert mended["placed"] == ["ollama/small"]
    assert mended["fetched_bytes"] == 200_000


def test_a_file_known_to_be_wrong_is_replaced(shelf: Shelf, paths: Paths) -> None:
    """Its length would be believed otherwise."""
    run.fetch(paths, _order(shelf, UPSTREAM))
    gone = next(digest for digest, content in shelf.blobs.items() if len(content) == 200_000)
    blob = order.directory(paths, "ollama") / "blobs" / gone.replace(":", "-")
    blob.write_bytes(b"x" * 200_000)
    answer = run.fetch(paths, _order(shelf, UPSTREAM, replace=True))

    assert answer["ok"], answer
    assert blob.read_bytes() == shelf.blobs[gone]


def test_no_link_of_the_engines_leads_root_elsewhere(shelf: Shelf, paths: Paths, tmp_path: Path) -> None:
    """The engine's user owns its directory, and may be hostile."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (order.directory(paths, "ollama") / "blobs").symlink_to(elsewhere)
    answer = run.fetch(paths, _order(shelf, UPSTREAM))

    assert not answer["ok"]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("path", "../../etc/passwd"), ("path", "blobs/.hidden"), ("digest", "md5:1"), ("service", "../x"), ("bytes", -1)],
)
def test_an_order_for_another_place_is_refused_as_a_whole(shelf: Shelf, paths: Paths, key: str, value: object) -> None:
    """Nothing is fetched."""
    with pytest.raises(FailedError):
        run.fetch(paths, _order(shelf, UPSTREAM, **{key: value}))

    assert not shelf.sent


def test_a_disk_without_room_is_left_alone(shelf: Shelf, paths: Paths) -> None:
    """It is known before the first byte."""
    text = _order(shelf, UPSTREAM).replace('"keep_free_bytes": 0', f'"keep_free_bytes": {1 << 60}')
    with pytest.raises(FailedError, match="must stay free"):
        run.fetch(paths, text)

    assert not shelf.sent


def _asked_again(paths: Paths, *declared: str) -> Checked:
    """The weekly look of a node that declares these models."""
    service = Service("ollama", 1, "/", "ollama", models=declared)
    return locked.checked(paths, Settings("gpu-01", services=(service,)))


def test_what_has_gone_missing_is_fetched_again_by_the_pinned_digest(shelf: Shelf, paths: Paths) -> None:
    """Without an order of its own: the last one names where from. What is there is not fetched."""
    text = _order(shelf, "/v2/library/small/blobs/{digest}")
    asked = json.loads(text)
    for file in asked["files"]:
        file["again"] = file["sources"]
    assert run.fetch(paths, json.dumps(asked))["ok"]
    before = _asked_again(paths, "small")
    blob = max((paths.private / "ollama/models/blobs").iterdir(), key=lambda path: path.stat().st_size)
    content = blob.read_bytes()
    blob.unlink()

    found = _asked_again(paths, "small")

    assert (before.checked, before.fetched_bytes, before.failures) == (1, 0, [])
    assert (found.checked, found.fetched_bytes, found.failures) == (1, len(content), [])
    assert blob.read_bytes() == content


def test_what_upstream_has_newer_is_told_and_never_taken(shelf: Shelf, paths: Paths) -> None:
    """The manifest stays the locked one; a registry that is silent is no fault of the node."""
    asked = json.loads(_order(shelf, "/v2/library/small/blobs/{digest}"))
    base = f"http://127.0.0.1:{shelf.files['port'].decode()}"
    asked["models"][0]["upstream"] = f"{base}/v2/library/small/manifests/latest"
    assert run.fetch(paths, json.dumps(asked))["ok"]
    place = paths.private / "ollama/models" / asked["models"][0]["place"]
    same = _asked_again(paths, "small")
    fresh = shelf.publish(NAME, 300_000)

    found = _asked_again(paths, "small")

    assert same.newer == {}
    assert found.newer == {"ollama/small": fresh}
    assert place.read_text() == asked["models"][0]["manifest"]
    del shelf.manifests[NAME]
    silent = _asked_again(paths, "small")
    assert list(silent.unasked) == ["ollama/small"]
    assert silent.failures == []


def test_a_model_that_is_declared_no_more_does_not_come_back(shelf: Shelf, paths: Paths) -> None:
    """And before the first order there is nothing to look at."""
    nothing = _asked_again(paths, "small")
    asked = json.loads(_order(shelf, "/v2/library/small/blobs/{digest}"))
    assert run.fetch(paths, json.dumps(asked))["ok"]

    assert nothing == Checked()
    assert _asked_again(paths).checked == 0

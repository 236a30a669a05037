"""Snapshots of a model store: second names, whole or not at all."""

import hashlib
import json
from pathlib import Path

import pytest

from ipex_node.backups import manifests, models
from ipex_node.backups.settings import Kept
from ipex_node.failure import FailedError

NOON, LATER = 1_790_000_000.0, 1_790_100_000.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A service's state directory with an empty store."""
    for folder in ("manifests", "blobs"):
        (tmp_path / "ollama/models" / folder).mkdir(parents=True)
    return tmp_path / "ollama"


def _blob(state: Path, content: bytes) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    (state / "models/blobs" / f"sha256-{digest}").write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _model(state: Path, name: str, *contents: bytes, **more: object) -> Path:
    layers = [{**_blob(state, content), **more} for content in contents]
    path = state / "models/manifests/registry.ollama.ai/library" / name.replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schemaVersion": 2, "config": _blob(state, b"{}"), "layers": layers}))
    return path


def _take(state: Path, tmp_path: Path, moment: float = NOON) -> models.Snapshot:
    return models.take(models.Store(state, "models"), tmp_path / "place", "ollama", moment)


def test_a_snapshot_is_second_names_of_what_manifests_name(state: Path, tmp_path: Path) -> None:
    """Neither a pull that goes on nor a blob that nobody names is in it; nothing is copied."""
    _model(state, "tinyllama:latest", b"weights")
    (state / "models/blobs/sha256-00-partial").write_bytes(b"half")
    snapshot = _take(state, tmp_path)

    assert [model.name for model in snapshot.models()] == ["tinyllama:latest"]
    assert len(snapshot.blobs) == 2
    for blob in snapshot.blobs:
        assert (snapshot.path / "blobs" / blob).samefile(state / "models/blobs" / blob)


def test_a_model_that_lacks_a_blob_is_named_and_nothing_is_kept(state: Path, tmp_path: Path) -> None:
    """Two models lack something: both are told of, with what to do."""
    _model(state, "a:1", b"one")
    _model(state, "b:1", b"two")
    for content in (b"one", b"two"):
        (state / "models/blobs" / f"sha256-{hashlib.sha256(content).hexdigest()}").unlink()

    with pytest.raises(FailedError) as raised:
        _take(state, tmp_path)

    assert [failure.what for failure in raised.value.failures] == ["model a:1", "model b:1"]
    assert models.snapshots(tmp_path / "place", "ollama") == []


def test_a_blob_exchanged_for_a_link_is_refused(state: Path, tmp_path: Path) -> None:
    """The store's owner may be hostile: no other file of the machine is kept for him."""
    _model(state, "a:1", b"one")
    blob = state / "models/blobs" / f"sha256-{hashlib.sha256(b'one').hexdigest()}"
    blob.unlink()
    blob.symlink_to("/etc/hostname")

    with pytest.raises(FailedError, match="cannot be kept"):
        _take(state, tmp_path)


def test_what_the_engine_removes_stays_in_snapshots_until_they_go(state: Path, tmp_path: Path) -> None:
    """Its bytes are told of; retention frees them."""
    path = _model(state, "a:1", b"one" * 1000)
    _take(state, tmp_path)
    path.unlink()
    (state / "models/blobs" / f"sha256-{hashlib.sha256(b'one' * 1000).hexdigest()}").unlink()
    _take(state, tmp_path, LATER)

    assert models.held_alone(tmp_path / "place", "ollama") == 3000
    assert len(models.prune(tmp_path / "place", "ollama", {}, ())) == 1
    assert models.held_alone(tmp_path / "place", "ollama") == 0


def test_what_cannot_be_downloaded_again(state: Path, tmp_path: Path) -> None:
    """What data call created, what Ollama made of another model, and what nobody declares."""
    for name in ("tinyllama:latest", "mine:1", "stray:1"):
        _model(state, name, name.encode())
    _model(state, "derived:1", b"base", **{"from": "/models/blobs/sha256-1"})
    kept = Kept("ollama", "x", (), "models", ("mine:1",), ("tinyllama", "mine:1", "derived:1"), 0)

    found = manifests.irreplaceable(_take(state, tmp_path).models(), kept)

    assert sorted(one.name for one in found) == ["derived:1", "mine:1", "stray:1"]


def test_an_unfinished_snapshot_is_none(state: Path, tmp_path: Path) -> None:
    """Killed in the middle: the next one begins anew."""
    _model(state, "a:1", b"one")
    (tmp_path / "place/models/ollama/.unfinished/blobs").mkdir(parents=True)

    assert models.snapshots(tmp_path / "place", "ollama") == []
    assert _take(state, tmp_path).blobs

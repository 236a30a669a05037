"""The current generation's manifest, for a program that may not read generations."""

from pathlib import Path

import pytest

from ipex_node import store
from ipex_node.failure import FailedError
from tests.ipex_node.fake_node import FakeNode


@pytest.fixture
def handed(node: FakeNode, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What systemd has copied for the unit when it was started."""
    place = tmp_path / "credentials"
    place.mkdir()
    copy = place / store.CURRENT
    copy.write_bytes((store.directory(node.world.paths, served) / "manifest.json").read_bytes())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place))
    return copy


def test_it_is_read_as_it_was_handed_over(
    node: FakeNode, served: str, handed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from where it lies, which root alone may read."""
    monkeypatch.setattr(store, "manifest", None)
    assert handed.exists()
    assert store.given(node.world.paths).id == served


def test_root_reads_it_where_it_lies(node: FakeNode, served: str) -> None:
    """As a person does, on the command line."""
    assert store.given(node.world.paths).id == served


def test_an_older_unit_and_a_newer_generation_are_said(node: FakeNode, served: str, handed: Path) -> None:
    """Each is a failure with what to do, and nothing is judged by the wrong manifest."""
    node.on("/var/lib/ipex/current").unlink()
    node.on("/var/lib/ipex/current").symlink_to("generations/0123456789abcdef")
    with pytest.raises(FailedError, match="has become current a moment ago"):
        store.given(node.world.paths)
    handed.unlink()
    with pytest.raises(FailedError, match="cannot be read"):
        store.given(node.world.paths)
    assert served

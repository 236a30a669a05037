"""A fresh node and bundles for it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ipex_node import rotation
from tests.ipex_node import fake_node
from tests.ipex_node.fake_node import FakeNode

Bundle = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's node need not survive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is awaited in a test is there at once or never."""
    monkeypatch.setattr(rotation, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """A machine on which nothing has been deployed."""
    return fake_node.machine(tmp_path / "node")


@pytest.fixture
def make(tmp_path: Path) -> Bundle:
    """Make a bundle: `make(contents, version)`, with `change` applied to the manifest."""

    def make_one(
        contents: Mapping[str, str] | None = None,
        version: str = "1",
        change: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> Path:
        contents = fake_node.files() if contents is None else contents
        raw = fake_node.manifest(contents, version)
        change(raw)
        return fake_node.bundle(tmp_path, contents, raw)

    return make_one


@pytest.fixture
def served(node: FakeNode, make: Bundle) -> str:
    """The generation that a node serves."""
    identity = node.stage(make())
    status, answer = node.activate(identity)
    assert status == 0, answer
    return identity

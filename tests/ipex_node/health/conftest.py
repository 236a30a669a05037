"""The node that the health monitor's tests look after."""

import os
import threading
from collections.abc import Iterator

import pytest

from ipex_node import probing
from ipex_node.health import checks, repair, run
from tests.ipex_node.conftest import Bundle
from tests.ipex_node.fake_node import FakeNode
from tests.ipex_node.health.box import Box, generation, healthy
from tests.ipex_node.tiny_server import running


@pytest.fixture
def box(node: FakeNode, make: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """A deployed node with a healthy engine and a GPU."""
    for module, name, seconds in (
        (run, "LISTEN_SECONDS", 0),
        (repair, "DOOR_SECONDS", 0.3),
        (probing, "PAUSE_SECONDS", 0.01),
        (checks, "ROOM_SECONDS", 0.1),
    ):
        monkeypatch.setattr(module, name, seconds)
    # The monitor is no root, whoever runs the tests.
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    boot = node.world.paths.boot_id
    boot.parent.mkdir(parents=True)
    boot.write_text("boot-1\n")
    with running() as engine:
        healthy(engine)
        node.activate(node.stage(make(*generation(node, engine))))
        one = Box(node, engine)
        one.gpu("card0", "0000:03:00.0", "8086:E20B")
        thread = threading.Thread(target=one.watch, daemon=True)
        thread.start()
        yield one
        one.stopped.set()
        thread.join()

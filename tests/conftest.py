"""The fleets the tests share."""

from gevent import monkey

# As pyinfra's own entry point does, before anything else is imported.
monkey.patch_all()

import os  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from pyinfra.api.exceptions import ConnectError  # noqa: E402
from pyinfra.connectors.fake import FakeConnector  # noqa: E402
from pyinfra.connectors.util import CommandOutput  # noqa: E402

from fleet import load  # noqa: E402
from fleet.model import Fleet  # noqa: E402
from tests.fake_fleet import FakeFleet  # noqa: E402

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def example() -> Fleet:
    """The example fleet, as the command line would load it."""
    os.chdir(ROOT)
    return load.from_file("inventory/example.py")


@pytest.fixture
def nodes(example: Fleet, monkeypatch: pytest.MonkeyPatch) -> FakeFleet:
    """The example fleet's nodes, fresh machines unless told otherwise."""
    monkeypatch.chdir(ROOT)
    fake = FakeFleet(example)

    def run(connector: FakeConnector, command: Any, **_: Any) -> tuple[bool, CommandOutput]:
        return fake.respond(connector, command)

    def connect(connector: FakeConnector) -> None:
        if load.node_name(connector.host) in fake.unreachable:
            raise ConnectError("Could not connect (timed out)")

    monkeypatch.setattr(FakeConnector, "run_shell_command", run)
    monkeypatch.setattr(FakeConnector, "connect", connect, raising=False)
    return fake

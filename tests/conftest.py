"""The fleets the tests share."""

from gevent import monkey

# As pyinfra's own entry point does, before anything else is imported.
monkey.patch_all()

import os  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402
from unittest import mock  # noqa: E402

import gevent  # noqa: E402
import pytest  # noqa: E402
from pyinfra.api.exceptions import ConnectError  # noqa: E402
from pyinfra.connectors.fake import FakeConnector  # noqa: E402
from pyinfra.connectors.util import CommandOutput  # noqa: E402

from fleet import load  # noqa: E402
from fleet.model import Fleet  # noqa: E402
from lab import machine  # noqa: E402
from lab import nodes as lab_nodes  # noqa: E402
from tests.fake_fleet import SECRETS, FakeFleet  # noqa: E402
from tests.front_page import browser  # noqa: E402
from tests.front_page.browser import Browser  # noqa: E402
from tests.lab_fleet import INVENTORY, Lab  # noqa: E402
from tests.suites import (  # noqa: E402
    note,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_report_header,
    pytest_terminal_summary,
    target_of,
    wanted_by,
)
from tests.target import NEEDS, Target  # noqa: E402

__all__ = [  # pytest's hooks, found here by their names
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_report_header",
    "pytest_terminal_summary",
]

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _gevent_turns() -> Iterator[None]:
    """Let gevent poll once after each test: os.close, which it patches, closes only then."""
    yield
    gevent.sleep(0.001)


@pytest.fixture(scope="session")
def example() -> Fleet:
    """The example fleet, as the command line would load it."""
    os.chdir(ROOT)
    with mock.patch.dict(os.environ, SECRETS):
        return load.from_file("inventory/example.py")


@pytest.fixture
def nodes(example: Fleet, monkeypatch: pytest.MonkeyPatch) -> FakeFleet:
    """The example fleet's nodes, fresh machines unless told otherwise."""
    monkeypatch.chdir(ROOT)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    fake = FakeFleet(example)

    def run(connector: FakeConnector, command: Any, **words: Any) -> tuple[bool, CommandOutput]:
        return fake.respond(connector, command, str(words.get("_stdin") or ""))

    def connect(connector: FakeConnector) -> None:
        if load.node_name(connector.host) in fake.unreachable:
            raise ConnectError("Could not connect (timed out)")

    monkeypatch.setattr(FakeConnector, "run_shell_command", run)
    monkeypatch.setattr(FakeConnector, "connect", connect, raising=False)
    return fake


@pytest.fixture(scope="session")
def running() -> Iterator[Browser]:
    """This machine's browser; with CI=true there must be one."""
    program = browser.program()
    if program is None:
        reason = f"there is no browser (none of {', '.join(browser.PROGRAMS)})"
        if os.environ.get("CI") == "true":
            pytest.fail(f"with CI=true nothing is skipped; {reason}")
        pytest.skip(reason)
    with Browser(program) as found:
        yield found


@pytest.fixture(scope="session")
def lab_machine() -> None:
    """This machine can run the lab; with CI=true it must."""
    if obstacle := machine.obstacle():
        reason = f"the lab cannot run here: {obstacle}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"with CI=true nothing is skipped; {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def booted(lab_machine: None) -> Iterator[Lab]:  # noqa: ARG001 - asked first
    """The lab's nodes, running; taken down again where these tests booted them."""
    was_running = lab_nodes.running()
    lab_nodes.up(ROOT / INVENTORY)
    yield Lab()
    if not was_running:
        lab_nodes.down()


@pytest.fixture(scope="session")
def lab(booted: Lab) -> Lab:
    """The lab's nodes, deployed by the real command, whatever lock a killed test may have left."""
    run = booted.deploy("-y", "--data", "break_lock=true")
    assert run.returncode == 0, run.stdout
    return booted


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    """The fleet that is asked: the lab's, booted and deployed, or that of the inventory that was named."""
    found = target_of(request.config)
    if found.is_lab:
        request.getfixturevalue("lab")
    return found


@pytest.fixture
def gpus(target: Target, request: pytest.FixtureRequest) -> list[str]:
    """The target's GPU nodes that have what the test requires; with CI=true there must be one."""
    wanted = wanted_by(request.node)
    target.inspect()
    lacks = {node: target.lacks(node, wanted) for node in target.names("gpu_nodes")}
    for node, missing in lacks.items():
        if missing:
            why = " and ".join(NEEDS[need] for need in missing)
            note(request.config, f"{node} in {request.node.name}: it has not, or does not answer that it has, {why}")
    able = [node for node, missing in lacks.items() if not missing]
    if not able:
        reason = f"no GPU node of {target.inventory} has {' and '.join(NEEDS[need] for need in wanted)}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"with CI=true nothing is skipped; {reason}")
        pytest.skip(reason)
    return able

"""The suites of the tests: what belongs to each, how long it may take, and what a run says of it."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.target import LAB_INVENTORY, Target


@dataclass(frozen=True)
class Suite:
    """One suite.

    Attributes:
        minutes: longest it may take as a whole; a run of it ends then, and has failed.
        about: what it is for.
    """

    minutes: int
    about: str


SUITES = {
    "unit": Suite(30, "pure parts, and real parts that need no node"),
    "integration": Suite(60, "the parts together, on the lab's nodes or on those of the inventory that is named"),
    "performance": Suite(120, "how fast it is, on the lab's nodes or on those of the inventory that is named"),
    "security": Suite(45, "what must not be possible"),
}
"""The brief's four, with its time limits."""
_TARGET = pytest.StashKey[Target]()
_LEFT_OUT = pytest.StashKey[list[str]]()
_BEGUN = pytest.StashKey[float]()


def of(markers: Iterable[str]) -> str:
    """The suite of a test, by its markers: the one it names, else integration where it needs a node, else unit.

    Raises:
        ValueError: it names more than one.
    """
    known = set(markers)
    named = sorted(known & set(SUITES))
    if len(named) > 1:
        raise ValueError(f"is in the suites {' and '.join(named)}: name one")
    return named[0] if named else "integration" if known & {"lab", "target"} else "unit"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --suite and --inventory."""
    group = parser.getgroup("suites")
    group.addoption("--suite", choices=SUITES, help="run this suite alone, within its time limit")
    group.addoption(
        "--inventory",
        default=os.environ.get("INVENTORY") or os.environ.get("IPEX_LAB_INVENTORY") or LAB_INVENTORY,
        help="the fleet that tests marked target ask, after a =; default: the lab's",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set the suite's time limit, and say which fleet is the target."""
    name = config.getoption("suite")
    if name and config.option.session_timeout is None:
        config.option.session_timeout = SUITES[name].minutes * 60
    config.stash[_TARGET] = Target(Path(config.getoption("inventory")))
    config.stash[_LEFT_OUT] = []
    config.stash[_BEGUN] = time.monotonic()


def target_of(config: pytest.Config) -> Target:
    """The fleet that tests marked target ask."""
    return config.stash[_TARGET]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is run against whom."""
    name = config.getoption("suite")
    suite = f"{name}, at most {SUITES[name].minutes} minutes: {SUITES[name].about}" if name else "all"
    return [f"suite: {suite}", f"target: {target_of(config)}"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put each test into its suite, and leave out the other suites, and what must not happen to a real fleet."""
    chosen, target = config.getoption("suite"), target_of(config)
    kept: list[pytest.Item] = []
    gone: list[pytest.Item] = []
    harmful = 0
    for item in items:
        markers = {marker.name for marker in item.iter_markers()}
        try:
            suite = of(markers)
        except ValueError as error:
            raise pytest.UsageError(f"{item.nodeid} {error}") from None
        item.add_marker(suite)
        harmful += (is_harmful := not target.is_lab and "target" not in markers and suite != "unit")
        left_out = (chosen and suite != chosen) or (chosen and "proof" in markers) or is_harmful
        (gone if left_out else kept).append(item)
    if harmful:
        why = "they change nodes, and run on the lab's alone"
        config.stash[_LEFT_OUT].append(f"{harmful} tests: {why}")
    items[:] = kept
    if gone:
        config.hook.pytest_deselected(items=gone)


def wanted_by(item: pytest.Item) -> tuple[str, ...]:
    """What a test requires of the nodes it asks."""
    return tuple(dict.fromkeys(name for marker in item.iter_markers("requires") for name in marker.args))


def note(config: pytest.Config, line: str) -> None:
    """Keep a line for the summary: what was left out, and why."""
    if line not in config.stash[_LEFT_OUT]:
        config.stash[_LEFT_OUT].append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say once more which fleet was asked, and what was left out."""
    terminalreporter.section("target")
    for line in _summary(config):
        terminalreporter.write_line(line)


def _summary(config: pytest.Config) -> Iterator[str]:
    yield str(target_of(config))
    yield from target_of(config).described()
    yield from (f"left out: {line}" for line in config.stash[_LEFT_OUT])
    if name := config.getoption("suite"):
        minutes = (time.monotonic() - config.stash[_BEGUN]) / 60
        yield f"suite {name}: {minutes:.1f} of {SUITES[name].minutes} minutes"

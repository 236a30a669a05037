"""Where the border between right and wrong lies: the last value that is taken, and the first that is not."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from fleet import checks
from fleet.model import Fleet, Node
from fleet.size import bytes_of
from fleet.structure import Structure


@pytest.mark.parametrize(
    ("size", "number"),
    [
        ("0", 0),
        ("512", 512),
        ("3K", 3072),
        ("2M", 2_097_152),
        ("8G", 8_589_934_592),
        ("1T", 1_099_511_627_776),
        ("8 G", None),
        ("8GB", None),
        ("", None),
    ],
)
def test_a_size_is_read_as_systemd_reads_it(size: str, number: int | None) -> None:
    """Base 1024, one letter, no space."""
    assert bytes_of(size) == number


def _said(fleet: Fleet) -> Iterator[str]:
    yield from (f"{problem.where}: {problem.what}" for problem in checks.run(fleet))


def _with(fleet: Fleet, name: str, **changes: Any) -> Fleet:
    """The fleet with one node changed."""
    nodes = tuple(dataclasses.replace(node, **changes) if node.name == name else node for node in fleet.nodes)
    return dataclasses.replace(fleet, nodes=nodes)


def _rolled(fleet: Fleet, **changes: Any) -> Fleet:
    """The fleet with other settings for rollouts on every node."""
    nodes = [dataclasses.replace(node, rollout=dataclasses.replace(node.rollout, **changes)) for node in fleet.nodes]
    return dataclasses.replace(fleet, nodes=tuple(nodes))


def _served(node: Node, **changes: Any) -> dict[str, Any]:
    return {"services": tuple(dataclasses.replace(service, **changes) for service in node.services)}


@pytest.mark.parametrize(
    ("key", "taken", "refused"),
    [
        ("fractions", (0.01, 1.0), (0.0,)),
        ("fractions", (1.0,), (1.5,)),
        ("fractions", (0.5,), (-0.5,)),
        ("canaries", 0, -1),
        ("lock_seconds", 60, 59),
    ],
)
def test_the_edges_of_a_rollout(example: Fleet, key: str, taken: object, refused: object) -> None:
    """What is just possible is let through, what is just not is named."""
    assert list(_said(_rolled(example, **{key: taken}))) == []
    assert {f"rollout.{key}" in line for line in _said(_rolled(example, **{key: refused}))} == {True}


@pytest.mark.parametrize(("key", "refused"), [("closure_gb", -0.5), ("disk_gb", -0.5)])
def test_no_need_of_a_service_is_below_nothing(example: Fleet, key: str, refused: float) -> None:
    """Nothing is let through."""
    node = example["gpu-01"]

    assert list(_said(_with(example, "gpu-01", **_served(node, **{key: 0})))) == []
    assert {
        f".{key} is -0.5" in line for line in _said(_with(example, "gpu-01", **_served(node, **{key: refused})))
    } == {True}


@pytest.mark.parametrize(("port", "wrong"), [(1, False), (65535, False), (0, True), (65536, True), (-1, True)])
def test_the_edges_of_ports(example: Fleet, port: int, *, wrong: bool) -> None:
    """1 to 65535."""
    agent = dataclasses.replace(example["gpu-01"].agent, port=port)
    found = [line for line in _said(_with(example, "gpu-01", agent=agent)) if "is no port" in line]

    assert bool(found) is wrong


def test_a_floor_above_all_nodes_is_refused_too(example: Fleet) -> None:
    """Not only one that is exactly all of them."""
    fleet = example
    for node in example.with_role("gpu_nodes"):
        fleet = _with(fleet, node.name, **_served(node, floor=9))

    assert any("so that 9 of 3 nodes must serve" in line for line in _said(fleet))


@pytest.mark.parametrize("seconds", [1, 0])
def test_the_edge_of_warmth(example: Fleet, seconds: int) -> None:
    """A gateway asks for it once a second at most."""
    gateway = example["gateway-01"].gateway
    assert gateway is not None
    changed = dataclasses.replace(gateway, rotation=dataclasses.replace(gateway.rotation, warm_seconds=seconds))
    found = [line for line in _said(_with(example, "gateway-01", gateway=changed)) if "warm_seconds" in line]

    assert bool(found) is (seconds < 1)


def test_a_monitor_without_notifications_is_refused(example: Fleet) -> None:
    """It would have an Alertmanager that tells nobody."""
    assert any("notifications is missing" in line for line in _said(_with(example, "monitor-01", notifications=None)))


@dataclasses.dataclass(frozen=True)
class _Inner:
    size: int


@dataclasses.dataclass(frozen=True)
class _Outer:
    inner: _Inner
    either: int | str | None = None


def test_a_kind_is_said_in_words() -> None:
    """A record is a mapping of settings; nothing in Python's own spelling reaches a person."""
    structure = Structure("gpu-01")
    structure.value(_Outer, {}, "")
    structure.value(_Outer, {"inner": {"size": 1}, "either": 1.5}, "")

    assert [(problem.what, problem.cure) for problem in structure.problems] == [
        ("inner is missing", "Set it in inventory/ or group_data/ (a mapping of settings)"),
        ("either is 1.5, not a whole number or text", "Write a whole number or text there."),
    ]

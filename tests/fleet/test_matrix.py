"""Who may reach what, as it follows from the model."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from fleet import desired, firewall, matrix
from fleet.firewall import Firewall, Opening
from fleet.model import Fleet, Node
from fleet.observed import Observed
from ipex_node.firewall import RULES

GPU, GATEWAY, MONITOR = "203.0.113.11", "203.0.113.21", "203.0.113.31"
OUTSIDE = "192.0.2.1"


def _reached(fleet: Fleet, target: str, source: str, protocol: str = "tcp") -> set[int]:
    rows = matrix.of(fleet[target], fleet)
    return {
        port for row in rows if row.protocol == protocol and firewall.admits(row.sources, source) for port in row.ports
    }


def _with(fleet: Fleet, *nodes: Node) -> Fleet:
    """The fleet with some nodes in the place of those of the same name, or beside them."""
    names = [node.name for node in nodes]
    return Fleet(fleet.environment, (*(node for node in fleet.nodes if node.name not in names), *nodes))


@pytest.mark.parametrize(
    ("target", "source", "ports"),
    [
        ("gpu-01", GATEWAY, {22, 9090, 8188, 11434}),
        ("gpu-01", MONITOR, {22, 9090, 9100}),
        ("gpu-01", "203.0.113.12", {22, 9096}),
        ("gpu-01", OUTSIDE, {22}),
        ("gateway-01", MONITOR, {22, 80, 443, 3903, 9090, 9100, 9113}),
        ("gateway-01", GPU, {22, 80, 443}),
        ("gateway-01", OUTSIDE, {22, 80, 443}),
        ("monitor-01", GATEWAY, {22, 8480, 9090, 9091, 3000}),
        ("monitor-01", GPU, {22, 8480}),
        ("monitor-01", OUTSIDE, {22}),
    ],
)
def test_each_reaches_what_it_asks_and_nothing_else(example: Fleet, target: str, source: str, ports: set[int]) -> None:
    """Engines by gateways alone, numbers by monitors, the public port by everybody."""
    assert _reached(example, target, source) == ports


def test_every_program_of_every_node_has_a_row(example: Fleet) -> None:
    """A new owner of a port must say who asks it: without that no rules are made."""
    owners = {owner for node in example.nodes for _, owner in node.ports()}
    engines = {service.name for service in example.services()}

    assert owners - engines <= set(matrix._ASKED_BY)


def test_a_third_service_follows_by_itself(example: Fleet) -> None:
    """One more entry in the catalogue opens its port to gateways, and to nobody else."""
    node = example["gpu-01"]
    third = dataclasses.replace(node.services[0], name="agent-smith", package="smith", port=7000)
    fleet = _with(example, dataclasses.replace(node, services=(*node.services, third)))

    assert 7000 in _reached(fleet, "gpu-01", GATEWAY)
    assert 7000 not in _reached(fleet, "gpu-01", MONITOR) | _reached(fleet, "gpu-01", OUTSIDE)


def test_a_service_that_is_called_like_a_program_is_an_engine_all_the_same(example: Fleet) -> None:
    """Nobody opens an engine to the world by naming it `gateway`."""
    node = example["gpu-01"]
    fleet = _with(example, dataclasses.replace(node, services=(dataclasses.replace(node.services[0], name="gateway"),)))

    assert 11434 not in _reached(fleet, "gpu-01", OUTSIDE)


def test_two_gateways_and_two_monitors_speak_with_each_other(example: Fleet) -> None:
    """VRRP between gateways; scrapes, alerts and gossip, by UDP too, between monitors."""
    second = dataclasses.replace(example["gateway-01"], name="gateway-02", address="203.0.113.22")
    other = dataclasses.replace(example["monitor-01"], name="monitor-02", address="203.0.113.32", serves_depot=False)
    fleet = _with(example, second, other)

    takeover = [row for row in matrix.of(second, fleet) if row.protocol == "vrrp"]
    assert [row.sources for row in takeover] == [(GATEWAY,)]
    assert _reached(fleet, "monitor-02", MONITOR) == {22, 9090, 9091, 9093, 9094, 9100}
    assert 8480 in _reached(fleet, "monitor-01", "203.0.113.32")
    assert _reached(fleet, "monitor-02", MONITOR, "udp") == {9094}
    assert 11434 in _reached(fleet, "gpu-01", "203.0.113.22")
    assert b"meta l4proto vrrp accept" in _rules(second, fleet)
    alone = Fleet(example.environment, tuple(node for node in example.nodes if node.name != "gateway-02"))
    assert not any(row.protocol == "vrrp" for row in matrix.of(alone["gateway-01"], alone))


def test_operators_open_their_own_ports(example: Fleet) -> None:
    """To networks of both kinds, or to a group of the fleet."""
    also = {
        "backup": Opening("backup", (873,), ("192.0.2.0/24", "2001:db8::/32")),
        "own-exporter": Opening("own-exporter", (9999,), ("monitors",), "udp"),
    }
    node = dataclasses.replace(example["gpu-01"], firewall=Firewall((22, 2222), ("gateways",), 30, also))
    fleet = _with(example, node)

    assert _reached(fleet, "gpu-01", OUTSIDE) == {873}
    assert _reached(fleet, "gpu-01", "2001:db8::1") == {873}
    assert _reached(fleet, "gpu-01", GATEWAY) >= {22, 2222}
    assert _reached(fleet, "gpu-01", MONITOR, "udp") == {9999}
    assert b'ip6 saddr { 2001:db8::/32 } tcp dport { 873 } accept comment "backup"' in _rules(node, fleet)


def test_without_a_firewall_there_is_nothing_of_it(example: Fleet) -> None:
    """A node that declares none has neither rules nor unit nor package."""
    node = dataclasses.replace(example["gpu-01"], firewall=None)

    generation = desired.generation(node, _with(example, node))

    assert "nftables" not in generation.packages
    assert not [file.path for file in generation.files if "firewall" in file.path]


def _opened(**changes: object) -> Mapping[str, Opening]:
    name = str(changes.get("name", "x"))
    return {name: dataclasses.replace(Opening("x", (1,), ("any",)), **changes)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"ssh_ports": ()}, "firewall.ssh_ports is empty"),
        ({"ssh_ports": (0,)}, "firewall.ssh_ports holds 0"),
        ({"ssh_ports": (9090,)}, "firewall.ssh_ports holds 9090, which is agent's"),
        ({"ssh_from": ()}, "firewall.ssh_from is empty"),
        ({"ssh_from": ("anyone",)}, "firewall.ssh_from holds 'anyone'"),
        ({"ssh_from": ("10.0.0.1/8",)}, "firewall.ssh_from holds '10.0.0.1/8'"),
        ({"confirm_seconds": 1}, "firewall.confirm_seconds is 1"),
        ({"also": _opened(ports=(11434,))}, "firewall.also.x.ports holds 11434, which is ollama's"),
        ({"also": _opened(ports=(70000,))}, "firewall.also.x.ports holds 70000"),
        ({"also": _opened(sources=("all",))}, "firewall.also.x.sources holds 'all'"),
        ({"also": _opened(name='x" drop')}, 'firewall.also.x" drop (its name)'),
    ],
)
def test_nonsense_is_refused_with_its_address(changes: dict[str, Any], what: str) -> None:
    """Each mistake is named alone; the data as they stand have none."""
    sound = Firewall((22,), ("any",), 30)
    taken = {9090: "agent", 11434: "ollama"}

    assert list(firewall.nonsense(sound, taken)) == []
    assert [found for found, _ in firewall.nonsense(dataclasses.replace(sound, **changes), taken)] == [what]


@pytest.mark.parametrize(
    ("asked_from", "firewall_of", "problems"),
    [
        ((OUTSIDE, 22), Firewall((22,), ("192.0.2.0/24",), 30), 0),
        (("::ffff:192.0.2.1", 22), Firewall((22,), ("192.0.2.0/24",), 30), 0),
        (("fe80::1%eth0", 22), Firewall((22,), ("any",), 30), 0),
        (("203.0.113.11", 22), Firewall((22,), ("gpu_nodes",), 30), 0),
        (("198.51.100.1", 22), Firewall((22,), ("192.0.2.0/24",), 30), 1),
        ((OUTSIDE, 2222), Firewall((22,), ("any",), 30), 1),
        (("198.51.100.1", 2222), Firewall((22,), ("192.0.2.0/24",), 30), 2),
        (("198.51.100.1", 2222), None, 0),
        (None, Firewall((22,), ("192.0.2.0/24",), 30), 0),
    ],
)
def test_a_controller_that_would_lock_itself_out_is_told(
    example: Fleet, asked_from: tuple[str, int] | None, firewall_of: Firewall | None, problems: int
) -> None:
    """Its own connection's source and port are held against the rules."""
    node = dataclasses.replace(example["gpu-01"], firewall=firewall_of)

    found = list(matrix.lockout(node, Observed(asked_from=asked_from), _with(example, node)))

    assert len(found) == problems


def _rules(node: Node, fleet: Fleet) -> bytes:
    return next(file.content for file in desired.generation(node, fleet).files if file.path == RULES)

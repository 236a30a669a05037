"""The floating address on a gateway: who holds it, and when it may be given away."""

import json
from collections.abc import Callable

import pytest

from fleet.metrics import METRICS
from ipex_node import floating, marker, rotation, settings
from ipex_node.agent import Agent
from ipex_node.failure import FailedError
from tests.ipex_node.fake_node import SETTINGS, FakeNode
from tests.ipex_node.tiny_server import Handler, running

ADDRESS = "198.18.0.20"
# As a Linux 6.18 shows it, shortened: a gateway with its own address, and with the floating one beside it or not.
_TRIE = """Main:
  +-- 0.0.0.0/0 2 0 2
     +-- 198.18.0.0/24 2 0 2
        |-- 198.18.0.0
           /24 link UNICAST
{leaf}
        |-- 198.18.0.21
           /32 host LOCAL
        |-- 198.18.0.255
           /32 link BROADCAST
"""
_HELD = f"        |-- {ADDRESS}\n           /32 host LOCAL"
_ROUTED = f"        |-- {ADDRESS}\n           /32 link UNICAST"
_IF_INET6 = (
    "20010db8000000000000000000000020 02 40 00 80    host0\n00000000000000000000000000000001 01 80 10 80       lo\n"
)


_METRICS = {one.name: {"kind": one.kind, "help": one.help} for one in METRICS}


def _tables(node: FakeNode, leaf: str) -> None:
    tables = node.world.paths.connections
    tables.mkdir(parents=True, exist_ok=True)
    (tables / "fib_trie").write_text(_TRIE.format(leaf=leaf))
    (tables / "if_inet6").write_text(_IF_INET6)


def _settle(node: FakeNode, port: int = 1) -> settings.Settings:
    """Write a gateway's settings; its one peer's agent is asked on this machine."""
    peers = {"gateway-02": {"address": "127.0.0.1", "port": port}}
    units = ["nginx.service", "keepalived.service"]
    known = {"address": ADDRESS, "peers": peers, "units": units, "takeover_seconds": 0.1}
    path = node.world.paths.settings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(SETTINGS | {"metrics": _METRICS, "services": [], "gateways": {}, "floating": known}))
    return settings.load(path)


def _run(node: FakeNode, *units: str) -> None:
    """Let systemd say that units run."""
    directory = node.world.paths.running_units
    directory.mkdir(parents=True, exist_ok=True)
    for unit in units:
        (directory / f"invocation:{unit}").symlink_to("0123")


@pytest.mark.parametrize(
    ("leaf", "address", "holds"),
    [
        (_HELD, ADDRESS, True),
        ("", ADDRESS, False),
        (_ROUTED, ADDRESS, False),
        ("", "198.18.0.21", True),
        (_HELD, "198.18.0.2", False),
        ("", "2001:db8::20", True),
        ("", "2001:db8::21", False),
    ],
)
def test_the_kernels_table_says_who_holds_it(node: FakeNode, leaf: str, address: str, *, holds: bool) -> None:
    """Addresses of this machine count, and neither routes to others nor beginnings of addresses."""
    _tables(node, leaf)

    assert floating.holds(node.world.paths.connections, address) is holds


def test_without_tables_nobody_holds_it(node: FakeNode) -> None:
    """A sandbox that hides them is told apart by the alert that nobody does."""
    assert floating.holds(node.world.paths.connections, ADDRESS) is False


def test_able_is_who_runs_and_is_not_drained(node: FakeNode) -> None:
    """Both units, and no operator's drain; a transaction's does not count."""
    known = _settle(node).floating
    assert known
    _tables(node, _HELD)
    _run(node, "nginx.service")
    alone = floating.said(node.world.paths, known)
    _run(node, "keepalived.service")
    both = floating.said(node.world.paths, known)
    marker.put_drain(node.world.paths, "", marker.by_activation("0"))
    changing = floating.said(node.world.paths, known)
    marker.put_drain(node.world.paths, "", marker.OPERATOR)
    drained = floating.said(node.world.paths, known)

    assert alone == {"address": ADDRESS, "holds": True, "able": False}
    assert both["able"] is changing["able"] is True
    assert drained["able"] is False


def test_the_agent_tells(node: FakeNode) -> None:
    """To whoever asks whether it is ready, and as numbers."""
    found = _settle(node)
    _tables(node, _HELD)
    agent = Agent(node.world, found)

    assert json.loads(agent.answer("/ready")[2])["floating"]["holds"] is True
    page = agent.answer("/metrics")[2].decode()
    assert f'ipex_floating_address_held{{address="{ADDRESS}"}} 1' in page
    assert f'ipex_floating_address_able{{address="{ADDRESS}"}} 0' in page


Peer = Callable[[Handler], None]


def _peer(word: object) -> dict[str, Peer]:
    return {"GET /ready": lambda handler: handler.say(200, word)}


@pytest.mark.parametrize(
    "word",
    [
        {"floating": {"able": False}},
        {"floating": {"able": "yes"}},
        {"floating": None},
        {"floating": [1]},
        {},
        [],
        "able",
    ],
)
def test_a_drain_that_would_leave_the_address_to_nobody_is_refused(node: FakeNode, word: object) -> None:
    """Where the other gateway is not able, or says what makes no sense; the node is as it was."""
    with running() as server:
        server.answers |= _peer(word)
        _settle(node, server.server_port)
        with pytest.raises(FailedError) as refused:
            rotation.drain(node.world, "", wait=True)

    assert "none of the other gateways (gateway-02) could take 198.18.0.20" in refused.value.failures[0].why
    assert marker.drain(node.world.paths) is None


def test_a_drain_with_nobody_there_is_refused_until_forced(node: FakeNode) -> None:
    """The other gateway is dead."""
    _settle(node)
    _tables(node, "")
    with pytest.raises(FailedError):
        rotation.drain(node.world, "", wait=True)

    answer = rotation.drain(node.world, "", wait=True, force=True)

    assert answer["ok"] is True
    assert marker.drain(node.world.paths) is not None


def test_a_drain_waits_until_the_address_is_gone(node: FakeNode) -> None:
    """And takes itself back where it does not go: a gateway that holds it must not look drained."""
    with running() as server:
        server.answers |= _peer({"floating": {"able": True}})
        _settle(node, server.server_port)
        _tables(node, _HELD)
        with pytest.raises(FailedError) as stuck:
            rotation.drain(node.world, "", wait=True)
        taken_back = marker.drain(node.world.paths)
        _tables(node, "")
        gone = rotation.drain(node.world, "", wait=True)

    assert "still holds 198.18.0.20" in str(stuck.value.failures[0])
    assert taken_back is None
    assert gone["ok"] is True

"""The floating address in data: what is refused, and what lands on a gateway."""

import dataclasses
from typing import Any

import pytest

from fleet import checks, desired, gateways
from fleet.floating import Floating, Takeover, nonsense
from fleet.model import Fleet

FLOATING = Floating("203.0.113.20", 24, 51)


def _with(fleet: Fleet, floating: Floating | None, without: str = "") -> Fleet:
    nodes = (dataclasses.replace(node, floating=floating) for node in fleet.nodes if node.name != without)
    return Fleet(fleet.environment, tuple(nodes))


def _file(fleet: Fleet, node: str, path: str) -> str:
    files = desired.generation(fleet[node], fleet).files
    return next(file.content.decode() for file in files if file.path == path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"address": "203.0.113.21"}, "floating.address 203.0.113.21 is also a node's own"),
        ({"address": "203.0.113.31"}, "floating.address 203.0.113.31 is also a node's own"),
        ({"address": "gateway"}, "floating is gateway/24"),
        ({"prefix": 33}, "floating is 203.0.113.20/33"),
        (
            {"prefix": 30, "address": "203.0.113.18"},
            "floating.address 203.0.113.18 and the gateway 203.0.113.21 are in",
        ),
        ({"router_id": 0}, "floating.router_id is 0"),
        ({"router_id": 256}, "floating.router_id is 256"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(example: Fleet, change: dict[str, Any], what: str) -> None:
    """Each with its cure; the address as it is has no fault."""
    found = list(gateways.floating_problems(_with(example, dataclasses.replace(FLOATING, **change))))

    assert any(problem.what.startswith(what) for problem in found), found
    assert all(problem.cure for problem in found)
    assert list(gateways.floating_problems(_with(example, FLOATING))) == []


def test_one_gateway_needs_none(example: Fleet) -> None:
    """And may have none."""
    alone = _with(example, FLOATING, without="gateway-02")

    assert [problem.what for problem in gateways.floating_problems(alone)] == ["floating is set for one gateway"]
    assert checks.run(_with(example, None, without="gateway-02")) == []


def test_gateways_speak_of_one_address(example: Fleet) -> None:
    """Two that have different ones would both hold theirs."""
    other = dataclasses.replace(example["gateway-02"], floating=dataclasses.replace(FLOATING, address="203.0.113.19"))
    fleet = Fleet(example.environment, (*(node for node in example.nodes if node.name != "gateway-02"), other))

    found = [(problem.where, problem.what) for problem in gateways.floating_problems(fleet)]

    assert ("gateway-02", "floating differs from the first gateway's") in found


@pytest.mark.parametrize(
    ("takeover", "what"),
    [
        (Takeover(0.5, 0.5, 2, 2), ""),
        (Takeover(1, 0.5, 2, 2), "gateway.takeover lets users wait up to 4.0 s"),
        (Takeover(0.5, 0.5, 3, 2), "gateway.takeover lets users wait up to 3.7 s"),
        (Takeover(0.05, 0.5, 2, 2), "gateway.takeover.advert_seconds is 0.05"),
        (Takeover(0.5, 0.5, 0, 2), "gateway.takeover.fall is 0"),
        (Takeover(0.5, 0.5, 2, 0), "gateway.takeover.rise is 0"),
    ],
)
def test_a_takeover_keeps_its_promise(takeover: Takeover, what: str) -> None:
    """Data that would let users wait for longer than is promised are refused."""
    found = [problem for problem, _ in nonsense(takeover)]

    assert (found == []) if not what else any(problem.startswith(what) for problem in found)


def test_each_gateway_knows_the_other(example: Fleet) -> None:
    """The same address on both, each its own side of the conversation; nobody is master by right."""
    first, second = (_file(example, name, "/etc/keepalived/keepalived.conf") for name in ("gateway-01", "gateway-02"))

    assert "unicast_src_ip 203.0.113.21" in first
    assert "unicast_src_ip 203.0.113.22" in second
    assert "    unicast_peer {\n        203.0.113.22\n    }" in first
    assert "    unicast_peer {\n        203.0.113.21\n    }" in second
    for text in (first, second):
        assert "        203.0.113.20/24\n" in text
        assert "state BACKUP\n    nopreempt\n" in text
    priorities = {line.split()[1] for text in (first, second) for line in text.splitlines() if "priority " in line}
    assert len({word for word in priorities if word.isdigit()}) == 2


def test_without_an_address_nothing_of_it_lands(example: Fleet) -> None:
    """No package, no unit, no question to anybody."""
    fleet = _with(example, None)
    generation = desired.generation(fleet["gateway-01"], fleet)

    assert "keepalived" not in generation.packages
    assert not any("keepalived" in file.path for file in generation.files)
    assert '"floating": null' in _file(fleet, "gateway-01", "/etc/ipex/node.json")


def test_the_check_looks_where_an_operators_drain_is(example: Fleet) -> None:
    """At the copy that outlives a reboot, and not at a transaction's."""
    script = _file(example, "gateway-01", "/usr/local/lib/ipex/gateway-answers")

    assert "[ ! -e /var/lib/ipex/drain ] || exit 1" in script
    assert "/dev/tcp/127.0.0.1/80 " in script
    assert "GET /ipex-upstreams HTTP/1.0" in script

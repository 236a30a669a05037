"""A deployed fleet does its work on Intel GPUs: the same questions to a real one and to the lab's. Nothing is changed.

make integration INVENTORY=inventory/prod.py
"""

from typing import Any

import pytest

from tests.target import Target

pytestmark = [pytest.mark.target, pytest.mark.timeout(1200)]


def _ask(target: Target, nodes: list[str], *words: str) -> dict[str, dict[str, Any]]:
    """Ask nodes, all of which must answer and agree."""
    answers = target.ask(nodes, *words)
    assert sorted(answers) == sorted(nodes), f"no answer from {sorted(set(nodes) - set(answers))}"
    assert {node: said["failures"] for node, said in answers.items() if not said["ok"]} == {}
    return answers


def test_every_node_is_as_it_was_deployed(target: Target) -> None:
    """No file, unit or package differs from the node's generation, and none of its generations is condemned."""
    answers = _ask(target, [node.name for node in target.fleet.nodes], "status")

    assert {node: said["drift"] for node, said in answers.items() if said["drift"]} == {}
    assert {node for node, said in answers.items() if not said["generation"]} == set()


@pytest.mark.requires("intel-gpu")
def test_every_machine_is_fit_for_its_services(target: Target, gpus: list[str]) -> None:
    """Its own doctor refuses nothing, and sees a GPU with a driver for each that is declared."""
    answers = _ask(target, gpus, "doctor")

    for node, said in answers.items():
        driven = [gpu for gpu in said["machine"]["gpus"] if gpu["driver"]]
        assert len(driven) >= target.fleet[node].gpus, (node, said["machine"]["gpus"])


@pytest.mark.requires("intel-gpu")
def test_every_engine_works_on_the_gpu(target: Target, gpus: list[str]) -> None:
    """Each generates, asked on its node; an answer computed on the processor is a failure."""
    answers = _ask(target, gpus, "probe")

    for node, said in answers.items():
        proved = {one["unit"].removesuffix(".service") for one in said["healthy"]}
        assert {service.unit.removesuffix(".service") for service in target.fleet[node].services} <= proved


@pytest.mark.requires("intel-gpu")
def test_every_gateway_leads_to_every_service(target: Target, gpus: list[str]) -> None:
    """Models are listed and work is done the whole way that a user takes, and by a node that is meant to do it."""
    answers = _ask(target, target.names("gateways"), "verify")

    services = {service.name for node in gpus for service in target.fleet[node].services}
    for said in answers.values():
        assert {route["service"] for route in said["routes"]} >= services
        assert {route["backend"] for route in said["routes"]} <= set(target.names("gpu_nodes"))

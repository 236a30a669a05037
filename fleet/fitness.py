"""What is needed of a node, and what the one judgement (ipex_node/fitness/) finds before a deploy changes it."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from fleet.model import Node, Service
from fleet.observed import Observed
from fleet.problems import Problem
from fleet.size import bytes_of
from ipex_node.fitness.findings import Level
from ipex_node.fitness.judge import judge
from ipex_node.fitness.needs import Needs, ServiceNeeds


def needs(node: Node) -> Needs:
    """What the data asks of a node's machine; the same lands on the node for its doctor."""
    return Needs(
        services=tuple(_service(service) for service in node.services),
        distributions=node.requirements.distributions,
        memory_gb=node.requirements.memory_gb,
        render_nodes=render_nodes(node),
    )


def render_nodes(node: Node) -> str:
    """The directory of the render nodes its engines open; empty where the data names none."""
    return str(PurePosixPath(node.paths.render_node).parent) if node.paths.render_node else ""


def problems(node: Node, observed: Observed) -> Iterator[Problem]:
    """What keeps this machine from being a node of the fleet."""
    if not observed.machine.distribution:
        yield Problem(
            node.name,
            "did not answer the question every node is asked",
            "The reason stands above; a user who is not root needs `_sudo` and a sudo that asks for no password.",
        )
        return
    yield from _found(node, observed, Level.REFUSE)


def warnings(node: Node, observed: Observed) -> Iterator[Problem]:
    """What its operator should know of this machine."""
    yield from _found(node, observed, Level.WARN)


def _found(node: Node, observed: Observed, level: Level) -> Iterator[Problem]:
    for finding in judge(observed.machine, needs(node)):
        if finding.level == level:
            yield Problem(node.name, finding.why, finding.cure)


def _service(service: Service) -> ServiceNeeds:
    return ServiceNeeds(
        name=service.name,
        unit=service.unit,
        gpu_classes=service.gpu_classes,
        gpu_classes_warned=service.gpu_classes_warned,
        discrete_only=service.engine == "ollama" and service.environment.get("OLLAMA_IGPU_ENABLE") not in {"1", "true"},
        memory_max_bytes=bytes_of(service.memory_max) or 0,
        disk_gb=service.disk_gb,
        closure_gb=service.closure_gb,
    )

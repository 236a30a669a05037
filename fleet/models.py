"""Which node declares which model of an engine, and how that becomes the gateway's business."""

from collections import Counter
from collections.abc import Iterator

from fleet import waves
from fleet.model import Fleet, Node, Service
from fleet.problems import Problem
from ipex_node.cleanup.model_name import full_name


def declared(service: Service) -> tuple[str, ...]:
    """The models that a node declares for a service; where it names none, the one that proves the service."""
    return service.models or ((service.model,) if service.model else ())


def locked_names(service: Service) -> tuple[str, ...]:
    """The models of a service that the lock names: from a registry, or file by file."""
    return (*(declared(service) if service.engine == "ollama" else ()), *service.downloads)


def by_model(fleet: Fleet, service: str) -> dict[str, tuple[Node, ...]]:
    """Each model of a service with the nodes that declare it, in inventory order."""
    nodes = [(node, declared(own)) for node in fleet.backends(service) if (own := node.service(service))]
    models = sorted({model for _, names in nodes for model in names})
    return {model: tuple(node for node, names in nodes if model in names) for model in models}


def routed(fleet: Fleet, service: str) -> dict[str, tuple[Node, ...]]:
    """As `by_model`, where the gateway has a choice: of a single model there is nothing to know about a request."""
    found = by_model(fleet, service)
    return found if len(found) > 1 else {}


def spellings(model: str) -> tuple[str, ...]:
    """What a request may call a model; other ways to write it exist, and are found the longer way."""
    name, _, tag = model.partition(":")
    return (name, f"{name}:latest") if tag in {"", "latest"} else (model,)


def nonsense(fleet: Fleet) -> Iterator[Problem]:
    """What cannot be meant, with its cure."""
    written: dict[str, str] = {}
    for node in fleet.nodes:
        for service in node.services:
            where = f"services.{service.name}"
            for what, cure in _service(service):
                yield Problem(node.name, f"{where}.{what}", cure)
            for model in declared(service):
                first = written.setdefault(full_name(model), model)
                if first != model:
                    yield Problem(node.name, f"{where}.models has {model}, elsewhere {first}", "Write it one way.")


def _service(service: Service) -> Iterator[tuple[str, str]]:
    if service.models and service.engine != "ollama":
        yield "models is set", "Take it out: only requests to Ollama name a model."
    if service.models and service.model and service.model not in service.models:
        yield f"models has no {service.model}", "Take the model that proves the service into it."
    for model, count in Counter(service.models).items():
        if count > 1:
            yield f"models has {model} {count} times", "Write it once."
    if service.route.spill_at < 1:
        yield f"route.spill_at is {service.route.spill_at}", "Write 1 or more."


def warnings(fleet: Fleet) -> Iterator[Problem]:
    """Models that nobody serves while one of their nodes changes or is down, where the service's floor wants more."""
    for service in fleet.services():
        for model, nodes in routed(fleet, service.name).items():
            least = waves.floor(service.floor, len(nodes))
            if least >= len(nodes):
                names = " and ".join(node.name for node in nodes)
                yield Problem(
                    fleet.environment,
                    f"services.{service.name}.models: {model} is declared by {names} alone, and floor is "
                    f"{service.floor!r}: a change of a node leaves fewer",
                    "Declare it on one more node, or live with it.",
                )

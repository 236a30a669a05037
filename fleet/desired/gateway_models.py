"""What nginx reads of a request's body: which declared model it is for, and nothing else (docs/decisions/0020)."""

from typing import Any

from fleet import models
from fleet.desired.render import render
from fleet.generation import File
from fleet.model import Fleet

READING = "/ipex-model"
"""Where nginx' mirror sends a copy of each request whose model it must know before it chooses a node: nowhere."""


def upstreams(fleet: Fleet) -> dict[str, list[dict[str, Any]]]:
    """Service to its models, each with its upstream and the nodes behind that; none where there is no choice."""
    return {
        service.name: [
            {"name": model, "upstream": f"{service.name}-model-{place}", "nodes": nodes}
            for place, (model, nodes) in enumerate(models.routed(fleet, service.name).items(), 1)
        ]
        for service in fleet.services()
    }


def reading(fleet: Fleet) -> File:
    """The variables that say a request's model, and where it begins: for the choice of a node, and for the log."""
    content = render(
        "nginx/models.conf.j2",
        services=[
            (service, {spelt: model for model in found for spelt in models.spellings(model)})
            for service in fleet.services()
            if service.engine == "ollama" and (found := models.by_model(fleet, service.name))
        ],
        models=upstreams(fleet),
    )
    return File("/etc/nginx/ipex/models.conf", content)

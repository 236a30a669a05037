"""Which nodes wait behind others, because those have a model loaded; and which lack a model they declare. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ipex_node.gateway.rotation import Heard, Treatments

Models = dict[str, dict[str, tuple[str, ...]]]
"""Service to model to nodes."""


class Warmth:
    """Hears which models are loaded where, and says who waits for whom.

    Args:
        models: The nodes that declare each model.
        seconds: Least time from a reload to one for warmth alone.
    """

    def __init__(self, models: Models, seconds: float) -> None:
        self._models = models
        self._seconds = seconds
        self._heard: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self._there: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self._loaded_at = float("-inf")

    def hear(self, node: str, heard: Heard) -> None:
        """Keep what a node says is loaded; of one that says nothing, nothing is known."""
        self._heard[node] = heard.warm
        # What it had it has while it is silent.
        if not heard.silence:
            self._there[node] = heard.models

    def lacking(self, treatments: Treatments) -> Models:
        """Return the nodes that say they lack a model they declare, where one that gets requests has it.

        Of which nothing is known has it. Where nobody has it all are asked: the engine's own 404 is the answer.
        """
        found: Models = {}
        for service, models in self._models.items():
            for model, nodes in models.items():
                without = tuple(node for node in nodes if self._lacks(node, service, model))
                there = [node for node in nodes if treatments.get(service, {}).get(node) == "in"]
                if without and set(there) - set(without):
                    found.setdefault(service, {})[model] = without
        return found

    def unheld(self) -> list[tuple[str, str]]:
        """Return service and model where every node that declares it says that it lacks it."""
        return [
            (service, model)
            for service, models in self._models.items()
            for model, nodes in models.items()
            if all(self._lacks(node, service, model) for node in nodes)
        ]

    def _lacks(self, node: str, service: str, model: str) -> bool:
        said = self._there.get(node, {})
        return service in said and model not in said[service]

    def waiting(self, treatments: Treatments) -> Models:
        """Return the nodes in rotation that say they do not have a model loaded, where another one says that it has.

        Of which nothing is known waits for nobody, and where nobody has the model all are equal.
        """
        found: Models = {}
        for service, models in self._models.items():
            for model, nodes in models.items():
                there = [node for node in nodes if treatments.get(service, {}).get(node) == "in"]
                cold = tuple(node for node in there if self._has(node, service, model) is False)
                if cold and any(self._has(node, service, model) for node in there):
                    found.setdefault(service, {})[model] = cold
        return found

    def _has(self, node: str, service: str, model: str) -> bool | None:
        said = self._heard.get(node, {})
        return model in said[service] if service in said else None

    def told(self, now: float) -> None:
        """Note that nginx has been reloaded, at a moment of `time.monotonic()`."""
        self._loaded_at = now

    def is_due(self, now: float) -> bool:
        """Whether nginx may be reloaded for warmth alone: each reload makes it forget what is in flight."""
        return now - self._loaded_at >= self._seconds


def unserved(models: Models, treatments: Treatments) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield service, model and its nodes, where none of them gets requests."""
    for service, rows in models.items():
        for model, nodes in rows.items():
            if all(treatments.get(service, {}).get(node, "in") != "in" for node in nodes):
                yield service, model, nodes

"""Whether an engine that lets a proof wait works for its users meanwhile, as the node's samplers have counted it.

A connection that has gone, or a prompt that has left the queue, is no such sign: a client that loses its patience
looks the same.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ipex_node import in_flight, samples

if TYPE_CHECKING:
    from ipex_node.paths import Paths
    from ipex_node.samples import Sample
    from ipex_node.settings import Service, Settings

GPU_SHARE = 0.1
"""A GPU that computed for so much of the time did so for users: the proof's own beginning is far shorter."""


class Work:
    """Watches one engine from the moment this is made.

    Args:
        paths: The node's places.
        node: Its settings.
        service: The engine.
    """

    def __init__(self, paths: Paths, node: Settings, service: Service) -> None:
        self._paths = paths
        self._node = node
        self._service = service
        self._begun = time.monotonic()
        self._jobs = self._in_flight(service)
        self._done, self._gpu = self._finished(), self._computed()

    def goes_on(self) -> bool:
        """Whether requests have succeeded, or the same long one has kept the GPU busy."""
        if self._finished() > self._done:
            return True
        if not self._jobs & self._in_flight(self._service) or not self._owns_gpu():
            return False
        wanted = GPU_SHARE * (time.monotonic() - self._begun)
        return any(seconds - self._gpu.get(key, seconds) >= wanted for key, seconds in self._computed().items())

    def _owns_gpu(self) -> bool:
        """Whether the GPU's work may be believed to be this engine's.

        Only ComfyUI's jobs take longer than a proof as a rule. Everybody else's short ones end and are counted, so
        that beside another engine's work a GPU that is busy says nothing of them.
        """
        others = [one for one in self._node.services if one.name != self._service.name]
        return self._service.engine == "comfyui" or not any(self._in_flight(one) for one in others)

    def _in_flight(self, service: Service) -> frozenset[str]:
        return in_flight.work(service, self._paths.connections) or frozenset()

    def _finished(self) -> float:
        """Return how many users' requests have succeeded since the sampler was started.

        Not its tokens: among them are those of the node's own proofs.
        """
        return sum(
            one.value
            for one in self._left("traffic")
            if one.labels.get("service") == self._service.name and one.labels.get("outcome") == "success"
        )

    def _computed(self) -> dict[tuple[str, ...], float]:
        """Return how long each engine of each GPU has computed."""
        family = "ipex_gpu_engine_busy_seconds_total"
        return {tuple(one.labels.values()): one.value for one in self._left("gpu") if one.family == family}

    def _left(self, source: str) -> list[Sample]:
        """Return a sampler's numbers; none of one that is silent."""
        return samples.read(self._paths.samples(source), self._node.sources.get(source, 0)) or []

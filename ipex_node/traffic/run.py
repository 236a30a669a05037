"""`ipex-node traffic`: measures what the engines do for their users, and leaves it for the agent.

docs/decisions/0008 says why it is measured here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ipex_node import in_flight, samples, settings
from ipex_node.failure import failed
from ipex_node.loopback import ask
from ipex_node.models import presence, stock
from ipex_node.samples import Sample, absent
from ipex_node.traffic import comfyui, ollama
from ipex_node.traffic.comfyui import History
from ipex_node.traffic.counts import Counts, Finished
from ipex_node.traffic.journal import Journal
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipex_node.paths import Paths
    from ipex_node.settings import Service, Settings
    from ipex_node.world import World

UNTIMED = 5
"""Generations without any word of tokens after which the engine is known to say none; loading a model alone is one."""


def serve(world: World) -> dict[str, Any]:
    """Measure until SIGTERM.

    Raises:
        FailedError: The node has no settings yet.
    """
    node = settings.load(world.paths.settings)
    if node.node is None:
        raise failed(str(world.paths.settings), "does not exist", "deploy this node first")
    traffic = Traffic(node, world.paths)
    progress(f"traffic of {', '.join(one.name for one in node.services) or 'no service'}")
    samples.keep(world.paths.samples("traffic"), traffic.look, node.traffic_seconds)
    return {"ok": True, "failures": []}


class Traffic:
    """Counts what the services do.

    Args:
        node: The node's settings.
        paths: The node's places.
        journal: What the services that are counted by their lines have written; the node's own without it.
    """

    def __init__(self, node: Settings, paths: Paths, journal: Journal | None = None) -> None:
        self._services = node.services
        self._paths = paths
        self._connections = paths.connections
        self._logging = {one.unit: one.name for one in node.services if one.engine == "ollama"}
        self._journal = journal or Journal(list(self._logging))
        self._histories = {
            one.name: History(functools.partial(ask, one.port)) for one in node.services if one.engine == "comfyui"
        }
        bounds = node.duration_buckets
        self._counts = {name: Counts(name, ("generate", "embed"), bounds) for name in self._logging.values()}
        self._counts |= {name: Counts(name, ("generate",), bounds) for name in self._histories}

    def look(self) -> list[Sample]:
        """Return everything as it is now."""
        return [*self._read_journal(), *(one for service in self._services for one in self._of(service))]

    def _read_journal(self) -> Iterator[Sample]:
        """Count what was written; say so where nobody could read it."""
        lines = self._journal.new()
        if lines is None:
            yield absent("journal", "journalctl does not answer")
        for unit, text in lines or ():
            one = ollama.line(text)
            counts = self._counts.get(self._logging.get(unit, ""))
            if one is None or counts is None:
                continue
            if isinstance(one, Finished):
                counts.finished(one)
            else:
                counts.evaluated(one)

    def _of(self, service: Service) -> Iterator[Sample]:
        if service.engine == "comfyui":
            yield from self._comfyui(service)
        elif service.engine == "ollama":
            yield from self._ollama(service)
        else:
            yield _queue(service, in_flight.count(service, self._connections) or 0)

    def _ollama(self, service: Service) -> Iterator[Sample]:
        counts = self._counts[service.name]
        yield from counts.requests()
        if counts.generations >= UNTIMED and not counts.tokens:
            yield absent(f"tokens of {service.name}", "the engine's log has no timings: Ollama before 0.30?")
        else:
            yield from counts.throughput()
        yield _queue(service, in_flight.count(service, self._connections) or 0)
        yield from ollama.models(service.name, ask(service.port, "/api/ps"))
        if service.models:
            given = stock.locked(self._paths).get(service.name, {})
            yield from presence.samples(service.name, service.models, given, ask(service.port, "/api/tags"))

    def _comfyui(self, service: Service) -> Iterator[Sample]:
        for one in self._histories[service.name].new():
            self._counts[service.name].finished(one)
        yield from self._counts[service.name].requests()
        length = comfyui.queued(ask(service.port, "/queue"))
        if length is not None:
            yield _queue(service, length)
        yield from comfyui.devices(service.name, ask(service.port, "/system_stats"))


def _queue(service: Service, length: int) -> Sample:
    return Sample("ipex_queue_length", {"service": service.name}, length)

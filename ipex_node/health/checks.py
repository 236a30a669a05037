"""The levels of one engine's health, each cheaper than the next.

runs: systemd has it running. port: something listens. api: its API answers 200. generates: it does its smallest work
before its deadline. gpu: it did that on the GPU.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node import engines, in_flight, readiness
from ipex_node.failure import FailedError, GivenUpError
from ipex_node.gpu import cards

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ipex_node.health.settings import Health
    from ipex_node.manifest import Probe
    from ipex_node.paths import Paths
    from ipex_node.settings import Service, Settings

_PORT_SECONDS = 2.0
_QUEUE_FULL = "server busy"
"""Beginning of Ollama's answer 503 to whom it has no room for (server/sched.go, ErrMaxQueue)."""
ROOM_SECONDS = 0.5
"""An engine that was silent until so shortly before its deadline was silent for the whole of it."""


@dataclass(frozen=True)
class Finding:
    """What was seen of an engine.

    Attributes:
        check: The level that failed, as `ollama:generates`; empty where none did.
        reason: What was seen there.
        busy: It failed while users' work went on and came to its end: it is loaded, not ill.
    """

    check: str = ""
    reason: str = ""
    busy: bool = False

    @property
    def is_on_cpu(self) -> bool:
        """Whether it works, but not on the GPU: trying again shows the same."""
        return self.check.endswith(":gpu")


class Checks:
    """Asks the engines of a node.

    Args:
        paths: The node's places.
        node: Its settings.
        health: How it is judged.
        probes: Unit to its proof of work.
    """

    def __init__(self, paths: Paths, node: Settings, health: Health, probes: Mapping[str, Probe]) -> None:
        self._paths = paths
        self._health = health
        self._probes = probes
        self._on_gpu = cards.are_there(node.sysfs)

    def judge(self, service: Service) -> Finding:
        """Ask until it is healthy, or has failed often enough.

        Whoever was silent for a whole deadline is not asked again. An engine that lets the proof wait, or says that
        its queue is full, is only busy if some work of others has come to its end meanwhile; one that hangs ends none.
        """
        before = in_flight.work(service, self._paths.connections) or frozenset()
        found, silent = Finding(), False
        for number in range(self._health.tries):
            if number:
                time.sleep(self._health.try_seconds)
            started = time.monotonic()
            found = self.look(service)
            silent = time.monotonic() - started >= self.deadline(service) - ROOM_SECONDS
            if not found.check or found.is_on_cpu or silent:
                break
        if found.check.endswith(":generates") and (silent or _QUEUE_FULL in found.reason):
            after = in_flight.work(service, self._paths.connections) or frozenset()
            return Finding(found.check, found.reason, busy=bool(before - after))
        return found

    def look(self, service: Service) -> Finding:
        """Ask level by level, once."""
        for level, reason in self._levels(service):
            if reason:
                return Finding(f"{service.name}:{level}", reason)
        return Finding()

    def deadline(self, service: Service) -> float:
        """Return the seconds an engine has for its proof."""
        probe = self._probes.get(service.unit)
        return probe.deadline_seconds if probe else readiness.ANSWER_SECONDS

    def start(self, service: Service) -> str:
        """Return systemd's name of the unit's present start; empty while it does not run."""
        link = self._paths.running_units / f"invocation:{service.unit}"
        return str(link.readlink()) if link.is_symlink() else ""

    def _levels(self, service: Service) -> Iterator[tuple[str, str]]:
        yield "runs", "" if self.start(service) else f"{service.unit} does not run"
        yield "port", "" if _listens(service.port) else f"nobody listens on port {service.port}"
        yield "api", "" if readiness.answers(service) else f"GET {service.health_path} is not answered with 200"
        yield from self._works(service)

    def _works(self, service: Service) -> Iterator[tuple[str, str]]:
        probe = self._probes.get(service.unit)
        if probe is None:
            return
        try:
            engines.check(probe, time.monotonic() + probe.deadline_seconds, on_gpu=self._on_gpu)
        except GivenUpError as error:
            yield "gpu", str(error)
        except FailedError as error:
            yield "generates", str(error)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=_PORT_SECONDS).close()
    except OSError:
        return False
    return True

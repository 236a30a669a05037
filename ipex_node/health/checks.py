"""The levels of one engine's health, each cheaper than the next.

runs: systemd has it running. port: something listens. api: its API answers 200. generates: it does its smallest work
before its deadline. gpu: it did that on the GPU.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ipex_node import border, engines, readiness
from ipex_node.failure import FailedError, GivenUpError
from ipex_node.gpu import cards
from ipex_node.health.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ipex_node.health.settings import Health
    from ipex_node.manifest import Probe
    from ipex_node.paths import Paths
    from ipex_node.settings import Service, Settings

_PORT_SECONDS = 2.0
_QUEUE_FULL = "server busy"
"""Beginning of Ollama's answer 503 to whom it has no room for (server/sched.go, ErrMaxQueue)."""
ROOM_SECONDS = 0.5
"""An engine that was silent until so shortly before its deadline was silent for the whole of it."""
_COLD = ("runs", "port", "api")
"""Levels at which an engine fails that has only just been started."""


@dataclass(frozen=True)
class Finding:
    """What was seen of an engine.

    Attributes:
        check: The level that failed, as `ollama:generates`; empty where none did.
        reason: What was seen there.
        excuse: Why that is no illness yet: it is `busy` with its users' work, or `starting`.
    """

    check: str = ""
    reason: str = ""
    excuse: str = ""

    @property
    def level(self) -> str:
        """The level that failed, without the service."""
        return self.check.rpartition(":")[2]

    @property
    def failing(self) -> str:
        """The level that failed without an excuse; empty where none did."""
        return "" if self.excuse else self.check

    @property
    def is_on_cpu(self) -> bool:
        """Whether it works, but not on the GPU: trying again shows the same."""
        return self.level == "gpu"


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
        self._node = node
        self._health = health
        self._probes = probes
        self._on_gpu = cards.are_there(node.sysfs)

    def judge(self, service: Service) -> Finding:
        """Ask until it is healthy, has failed often enough, or has had the time of a whole proof.

        An engine that lets the proof wait, or says that its queue is full, is only busy if it works for its users
        meanwhile. One that was started less than a proof ago may not listen yet.
        """
        work, until = Work(self._paths, self._node, service), self.until(service)
        found, silent = Finding(), False
        for number in range(self._health.tries):
            if number:
                time.sleep(self._health.try_seconds)
                until += self._health.try_seconds
            found = self.look(service, until)
            silent = time.monotonic() >= until - ROOM_SECONDS
            if not found.check or found.is_on_cpu or silent:
                break
        waits = found.level == "generates" and (silent or _QUEUE_FULL in found.reason)
        if waits and work.goes_on():
            return replace(found, excuse="busy")
        if found.level in _COLD and self._is_young(service):
            return replace(found, excuse="starting")
        return found

    def look(self, service: Service, until: float) -> Finding:
        """Ask level by level, once.

        Args:
            service: Whom.
            until: Moment of `time.monotonic()` at which its work must be done.
        """
        for level, reason in self._levels(service, until):
            if reason:
                # An engine may say anything, at any length.
                return Finding(f"{service.name}:{level}", border.words(reason))
        return Finding()

    def until(self, service: Service) -> float:
        """Return the moment until which an engine has time for a proof that begins now."""
        return time.monotonic() + self._seconds(service)

    def start(self, service: Service) -> str:
        """Return systemd's name of the unit's present start; empty while it does not run."""
        try:
            return str(self._link(service).readlink())
        except OSError:
            return ""

    def _is_young(self, service: Service) -> bool:
        """Whether the unit was started less than a proof ago: systemd made the link at that moment."""
        try:
            return 0 <= time.time() - self._link(service).lstat().st_mtime < self._seconds(service)
        except OSError:
            return False

    def _link(self, service: Service) -> Path:
        return self._paths.running_units / f"invocation:{service.unit}"

    def _seconds(self, service: Service) -> float:
        """Return what an engine has for its proof, a cold start and the load of its model included."""
        probe = self._probes.get(service.unit)
        return probe.deadline_seconds if probe else readiness.ANSWER_SECONDS

    def _levels(self, service: Service, until: float) -> Iterator[tuple[str, str]]:
        yield "runs", "" if self.start(service) else f"{service.unit} does not run"
        yield "port", "" if _listens(service.port) else f"nobody listens on port {service.port}"
        yield "api", "" if readiness.answers(service) else f"GET {service.health_path} is not answered with 200"
        yield from self._works(service, until)

    def _works(self, service: Service, until: float) -> Iterator[tuple[str, str]]:
        probe = self._probes.get(service.unit)
        if probe is None:
            return
        try:
            engines.check(probe, until, on_gpu=self._on_gpu)
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

"""Whether the node may be given requests."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node import in_flight, loopback, marker, store
from ipex_node.health import verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipex_node.paths import Paths
    from ipex_node.settings import Service

ANSWER_SECONDS = 2.0
"""Longest a service may take to say that its API is up."""
FRESH_SECONDS = 1.0
"""How long an answer counts: several gateways and a monitor ask, the service is asked once."""
FIRST_SECONDS = 0.5
"""How long the very first question waits for the engines."""

SILENT_SECONDS = 5.0
"""A gateway asks every second; what it said before so long a silence counts no more."""


def answers(service: Service) -> bool:
    """Ask a service on loopback for its API."""
    try:
        return loopback.get(service.port, service.health_path, ANSWER_SECONDS, limit=0)[0] == 200
    except (OSError, ValueError):
        return False


@dataclass
class _Known:
    lock: threading.Lock
    up: bool = False
    in_flight: int | None = None
    until: float = 0.0


@dataclass(frozen=True)
class _Word:
    rotation: str
    without: tuple[str, ...]
    circuit: tuple[str, ...]
    at: float


class Gateways:
    """What each gateway said when it last asked: whether it sends requests to this node.

    Whether it is one of the fleet's gateways that speaks has been seen before.
    """

    def __init__(self) -> None:
        self._said: dict[str, _Word] = {}

    def hear(self, name: str, rotation: str, without: str = "", circuit: str = "") -> None:
        """Keep a gateway's word.

        Args:
            name: The gateway.
            rotation: `in` or `out`.
            without: While in, the services that get nothing all the same, with commas between.
            circuit: Checks that fail on too many nodes at once, with commas between.
        """
        if rotation in {"in", "out"}:
            services = tuple(sorted(set(without.split(",")))) if without else ()
            self._said[name] = _Word(rotation, services, verdict.checks(circuit.split(",")), time.monotonic())

    def said(self) -> dict[str, dict[str, Any]]:
        """Return each gateway's last word and how long ago it was."""
        now = time.monotonic()
        return {
            name: {"rotation": word.rotation, "without": word.without, "seconds_ago": round(now - word.at, 1)}
            for name, word in sorted(self._said.copy().items())
        }

    def circuit(self) -> tuple[str, ...]:
        """Return the checks of which a gateway says that they fail on too many nodes; what it said long ago is void."""
        since = time.monotonic() - SILENT_SECONDS
        fresh = [word.circuit for word in self._said.copy().values() if word.at >= since]
        return tuple(sorted({check for checks in fresh for check in checks}))


class Readiness:
    """Answers for the node.

    Args:
        paths: The node's places.
        services: The engines it runs.
        ask: Asks one of them.
    """

    def __init__(self, paths: Paths, services: tuple[Service, ...], ask: Callable[[Service], bool] = answers) -> None:
        self.gateways = Gateways()
        self._paths = paths
        self._services = services
        self._ask = ask
        self._known = {service.name: _Known(threading.Lock()) for service in services}

    def services(self) -> dict[str, bool]:
        """Say of every service whether its API was up when it was last asked; what is stale is asked again meanwhile.

        Only the first question of all waits for the engines: a gateway waits less than a second for its answer, and
        an engine that hangs must not take a healthy one out of rotation with it.
        """
        waits = [self._asks(service) for service in self._services if not self._is_fresh(service)]
        for thread in waits:
            if thread:
                thread.join(FIRST_SECONDS)
        return {name: known.up for name, known in self._known.items()}

    def _asks(self, service: Service) -> threading.Thread | None:
        """Ask a service on a thread of its own, one at a time; return the thread if its answer must be awaited."""
        known = self._known[service.name]
        if known.lock.acquire(blocking=False):
            thread = threading.Thread(target=self._renew, args=(service,), daemon=True)
            thread.start()
            return thread if known.until == 0 else None
        return None

    def answer(self) -> dict[str, Any]:
        """Return what /ready says.

        `ready` is the node's own word. Gateways send a service's requests where that service is up, too: one
        that is silent, or condemned by the health monitor, does not take the others out of rotation, unless none is
        left. A condemned one only looks down, and does not ask to be left out: where the whole fleet looks down,
        gateways doubt themselves and keep it.
        """
        answering = self.services()
        held, circuit = verdict.read(self._paths.verdict), self.gateways.circuit()
        out = held.out(answering, circuit)
        services = {name: up and name not in out for name, up in answering.items()}
        wish = self._wish()
        silent = [name for name, up in answering.items() if not up and name not in out]
        down = [f"{name} is out: {why}" for name, why in out.items()]
        down += [f"no answer from {', '.join(silent)}"] if silent else []
        return {
            "ready": not wish and (not services or any(services.values())),
            "reason": wish or "; ".join(down),
            "generation": store.linked(self._paths.current),
            "services": services,
            "in_flight": {name: known.in_flight for name, known in self._known.items()},
            "out": out,
            "failing": held.failing,
            "circuit": circuit,
            "gateways": self.gateways.said(),
        }

    def _wish(self) -> str:
        """Say why the node wants to be out of rotation; nothing where it does not."""
        now = marker.rotation(self._paths)
        if now["state"] == "in":
            return ""
        return f"{now['state']}: {now['reason']}" if now["reason"] else now["state"]

    def _is_fresh(self, service: Service) -> bool:
        return time.monotonic() < self._known[service.name].until

    def _renew(self, service: Service) -> None:
        """Ask, and let others ask again."""
        known = self._known[service.name]
        try:
            known.up = self._ask(service)
            known.in_flight = in_flight.count(service, self._paths.connections)
            known.until = time.monotonic() + FRESH_SECONDS
        finally:
            known.lock.release()

"""Whether the node may be given requests."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node import store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ipex_node.paths import Paths
    from ipex_node.settings import Service

ANSWER_SECONDS = 2.0
"""Longest a service may take to say that its API is up."""
FRESH_SECONDS = 1.0
"""How long an answer counts: several gateways and a monitor ask, the service is asked once."""


def answers(service: Service) -> bool:
    """Ask a service on loopback for its API."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", service.health_path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass
class _Known:
    lock: threading.Lock
    up: bool = False
    until: float = 0.0


class Readiness:
    """Answers for the node.

    Args:
        paths: The node's places.
        services: The engines it runs.
        ask: Asks one of them.
    """

    def __init__(self, paths: Paths, services: tuple[Service, ...], ask: Callable[[Service], bool] = answers) -> None:
        self._paths = paths
        self._services = services
        self._ask = ask
        self._known = {service.name: _Known(threading.Lock()) for service in services}

    def services(self) -> dict[str, bool]:
        """Say of every service whether its API is up; all that must be asked are asked at once."""
        stale = [service for service in self._services if not self._is_fresh(service)]
        threads = [threading.Thread(target=self._renew, args=(service,), daemon=True) for service in stale[1:]]
        for thread in threads:
            thread.start()
        for service in stale[:1]:
            self._renew(service)
        for thread in threads:
            thread.join()
        return {name: known.up for name, known in self._known.items()}

    def answer(self) -> dict[str, Any]:
        """Return what /ready says."""
        services = self.services()
        reason = self._reason(services)
        generation = store.linked(self._paths.current)
        return {"ready": not reason, "reason": reason, "generation": generation, "services": services}

    def _reason(self, services: Mapping[str, bool]) -> str:
        if self._paths.drain.exists():
            return "draining"
        if self._paths.activating.exists():
            return "activating"
        silent = [name for name, up in services.items() if not up]
        return f"no answer from {', '.join(silent)}" if silent else ""

    def _is_fresh(self, service: Service) -> bool:
        return time.monotonic() < self._known[service.name].until

    def _renew(self, service: Service) -> None:
        """Ask, unless another thread has just done so."""
        known = self._known[service.name]
        with known.lock:
            if not self._is_fresh(service):
                known.up = self._ask(service)
                known.until = time.monotonic() + FRESH_SECONDS

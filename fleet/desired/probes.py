"""Proofs of work, as `ipex-node probe` reads them."""

from typing import Any

from fleet.model import Service

_DAEMON_SECONDS = 30


def answers(unit: str, port: int, path: str) -> dict[str, Any]:
    """A daemon of this node is up when it answers 200 on this path."""
    return _probe("http", unit, port, path, None, _DAEMON_SECONDS)


def held(unit: str, at: str, path: str) -> dict[str, Any]:
    """What holds an address does so when somebody answers 200 there, whichever node that is.

    Args:
        unit: the unit that holds it, or waits for it.
        at: the address with its port, as URLs have it.
        path: what is asked.
    """
    return {**answers(unit, 0, path), "url": f"http://{at}"}


def works(service: Service) -> dict[str, Any]:
    """An engine is up when it has done a small piece of its work."""
    return _probe(service.engine, service.unit, service.port, service.health_path, service.model, service.probe_seconds)


def _probe(engine: str, unit: str, port: int, path: str, model: str | None, seconds: int) -> dict[str, Any]:  # noqa: PLR0913,PLR0917 - the six keys of a probe
    return {
        "engine": engine,
        "unit": unit,
        "url": f"http://127.0.0.1:{port}",
        "path": path,
        "model": model,
        "deadline_seconds": seconds,
    }

"""`ipex-node verify`: the whole way a user takes, through the gateway."""

from __future__ import annotations

import ssl
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ipex_node import engines, files, loopback, settings, tls
from ipex_node.client import Client, Way
from ipex_node.failure import FailedError, Failure, failed

if TYPE_CHECKING:
    from ipex_node.settings import Gateway, Route
    from ipex_node.world import World

ROUTE_SECONDS = 120.0
"""Time for one route: a model may have to be loaded first."""
RELOAD_SECONDS = 5.0
"""Longest that nginx' old workers may go on showing a certificate of before its reload."""
_LOOKS, _LOOK_SECONDS = 3, 0.2


def verify(world: World, record: str | None) -> dict[str, Any]:
    """Use every route of the gateway as a user would.

    Args:
        world: The node, a gateway.
        record: Text to keep as proof of a full success; a failure removes it.

    Raises:
        FailedError: The node is no gateway.
    """
    gateway = settings.load(world.paths.settings).gateway
    if gateway is None:
        raise failed("verify", "this node has no gateway to verify", "run it on a node with the role gateways")
    failures: list[Failure] = []
    way = _way(world, gateway)
    if way.tls:
        await_certificate(gateway.base_url, way.tls)
    routes = [_route(gateway, way, route, failures) for route in gateway.routes]
    if failures:
        world.paths.verified.unlink(missing_ok=True)
    elif record is not None:
        files.write(world.paths.verified, record.encode())
    return {"ok": not failures, "failures": [failure.as_json() for failure in failures], "routes": routes}


def _way(world: World, gateway: Gateway) -> Way:
    secured = gateway.base_url.startswith("https:")
    key = world.paths.on_node(gateway.key)
    try:
        said = key.read_text().strip()
    except OSError as error:
        raise failed(str(key), f"cannot be read: {error.strerror}", "deploy this gateway again") from error
    chain = world.paths.on_node(gateway.authority)
    return Way(gateway.host, said, tls.trusting(chain, gateway.host) if secured else None)


def await_certificate(base_url: str, trusted: tls.Tls) -> None:
    """Wait until the gateway shows what is trusted, several times in a row: old and new workers take turns at first.

    In vain, it is the routes that say so.

    Args:
        base_url: Where it listens.
        trusted: What is.
    """
    address, good, deadline = urlsplit(base_url), 0, time.monotonic() + RELOAD_SECONDS
    while good < _LOOKS and time.monotonic() < deadline:
        if good:
            time.sleep(_LOOK_SECONDS)
        try:
            with closing(loopback.Connection(address.hostname or "", address.port or 443, deadline, trusted)) as line:
                line.connect()
        except ssl.SSLCertVerificationError:
            good = 0
            time.sleep(_LOOK_SECONDS)
        except OSError:
            return
        else:
            good += 1


def _route(gateway: Gateway, way: Way, route: Route, failures: list[Failure]) -> dict[str, Any]:
    started = time.monotonic()
    client = Client(gateway.base_url, started + ROUTE_SECONDS, route.path, way)
    found: tuple[Failure, ...] = ()
    try:
        engines.prove(route.engine, client, engines.API_PATHS[route.engine], route.model, streaming=True)
    except FailedError as error:
        found = error.failures
    backend = f" on {client.node}" if client.node else ""
    failures += [Failure(f"route {route.path}{backend}: {one.what}", one.why, one.cure) for one in found]
    return {
        "service": route.service,
        "path": route.path,
        "ok": not found,
        "backend": client.node or None,
        "seconds": round(time.monotonic() - started, 3),
    }

"""The gateway's front page: plain files that nginx serves, and what its live data are made of."""

import dataclasses
from typing import Any

from fleet import front_page
from fleet.desired import gateway_access
from fleet.desired.render import render
from fleet.front_page import FrontPage
from fleet.generation import File
from fleet.model import Fleet, Gateway

_DIRECTORY = "/usr/local/share/ipex/www"
_INDEX = "index.html"
_STATIC = ("front-page.css", "front-page.js")
# no-cache: a browser asks whether they have changed, and gets 304.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TOLD = ("write_seconds", "numbers_seconds", "objectives_seconds")


def files(gateway: Gateway, fleet: Fleet) -> tuple[File, ...]:
    """The page, its style and its script."""
    index = render(
        f"www/{_INDEX}.j2",
        name=gateway.server_name,
        address=gateway.address,
        environment=fleet.environment,
        services=fleet.services(),
        page=gateway.front_page,
        assets=front_page.ASSETS,
        live=front_page.LIVE,
        monitors=gateway_access.monitoring_of(fleet),
    )
    static = (File(f"{_DIRECTORY}/{name}", render(f"www/{name}")) for name in _STATIC)
    return (File(f"{_DIRECTORY}/{_INDEX}", index), *static)


def places(fleet_file: str) -> dict[str, Any]:
    """What nginx must know to serve it.

    Args:
        fleet_file: where the gateway's program leaves the live data.
    """
    return {
        "directory": _DIRECTORY,
        "index": _INDEX,
        "assets": front_page.ASSETS,
        "live": front_page.LIVE,
        "fleet": fleet_file,
        "headers": _HEADERS,
    }


def settings(page: FrontPage, fleet: Fleet) -> dict[str, Any]:
    """What the gateway's program must know to write the live data."""
    monitors = [{"address": node.address, "port": node.prometheus.port} for node in fleet.nodes if node.prometheus]
    return {
        "environment": fleet.environment,
        **{key: value for key, value in dataclasses.asdict(page).items() if key in _TOLD},
        "question": f"/api/v1/query?query={front_page.BUDGETS}",
        "monitors": monitors,
    }

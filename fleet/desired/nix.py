"""Nix on the nodes that have closures, and on the one that builds for all."""

from typing import Any

from fleet import depot
from fleet.desired.render import render
from fleet.flake import Nix
from fleet.generation import File, Part
from fleet.model import Fleet, Node

CONFIGURATION = "/etc/nix/nix.conf"


def part(node: Node, fleet: Fleet) -> Part:
    """Nix and its settings, where they are needed."""
    from_flake = node.grafana and node.prometheus and node.grafana.installed == "flake"
    if not (node.is_gpu or node.serves_depot or from_flake):
        return Part()
    server = fleet.depot_node
    values: dict[str, Any] = {
        "nix": node.nix or Nix(),
        "key": depot.cache_public(fleet.secrets) if server else "",
        "depot": "",
        "free_bytes": 0,
    }
    if server and server.depot:
        own = server.name == node.name
        values["depot"] = f"file://{depot.DIRECTORY}/cache" if own else f"http://{server.at(server.depot.port)}/cache"
        values["free_bytes"] = server.depot.free_gb * 10**9 if own else 0
    content = render("nix/nix.conf.j2", builds=node.serves_depot or not server, **values)
    return Part(packages=("nix-bin", "nix-setup-systemd"), files=(File(CONFIGURATION, content),))

"""Nix on the nodes that have closures, and on the one that builds for all."""

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
    key = depot.cache_public(fleet.secrets) if fleet.depot_node else ""
    content = render("nix/nix.conf.j2", nix=node.nix or Nix(), key=key)
    return Part(packages=("nix-bin", "nix-setup-systemd"), files=(File(CONFIGURATION, content),))

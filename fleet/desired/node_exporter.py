"""Debian's node_exporter, hardened, on every node."""

from fleet.desired import probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Node

UNIT = "prometheus-node-exporter.service"
_WATCHED = ("grafana", "ipex", "keepalived", "mtail", "nginx", "prometheus")
"""How the names of units begin that this project brings, beside the services' own."""


def part(node: Node, fleet: Fleet) -> Part:
    """What makes a machine's own metrics visible."""
    port = node.node_exporter.port
    path = f"/etc/systemd/system/{UNIT}"
    watched = sorted({*_WATCHED, *(service.unit.removesuffix(".service") for service in node.services)})
    unit = render(f"units/{UNIT}.j2", port=port, addresses=fleet.addresses("monitors"), watched=watched)
    return Part(
        packages=("prometheus-node-exporter",),
        files=(File(path, unit),),
        units=(Unit(UNIT, inputs=(path,)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{path}"),),
        probes=(probes.answers(UNIT, port, "/metrics"),),
    )

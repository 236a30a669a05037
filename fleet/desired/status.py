"""What makes a node's own state (drift, quarantine, last update) visible to monitors."""

from fleet.desired import program
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Node

SERVICE = "ipex-status.service"
TIMER = "ipex-status.timer"


def part(node: Node) -> Part:
    """A look at the node every few minutes."""
    service, timer = f"/etc/systemd/system/{SERVICE}", f"/etc/systemd/system/{TIMER}"
    return Part(
        files=(
            File(service, render(f"units/{SERVICE}.j2", program=program.PATH)),
            File(timer, render(f"units/{TIMER}.j2", seconds=node.metrics.status_seconds)),
        ),
        units=(Unit(TIMER, inputs=(service, timer)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{service}", f"{{root}}{timer}"),),
    )

"""What keeps a node's distribution current, and brings the node back after a reboot."""

from fleet.desired import program
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Node

RETURN = "ipex-return.service"
# What proving may take beside the probes: every unit without one has a minute, all at the same time.
_REST_SECONDS = 600


def part(node: Node) -> Part:
    """What every node has of it."""
    unit = f"/etc/systemd/system/{RETURN}"
    seconds = sum(service.probe_seconds for service in node.services) + _REST_SECONDS
    return Part(
        files=(File(unit, render(f"units/{RETURN}.j2", program=program.PATH, seconds=seconds)),),
        units=(Unit(RETURN, inputs=(unit,)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{unit}"),),
    )

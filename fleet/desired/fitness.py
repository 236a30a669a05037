"""The check of memory at boot, on GPU nodes; what a machine must be lands with the node's settings."""

from fleet.desired import program
from fleet.desired.agent import SETTINGS
from fleet.desired.render import render
from fleet.generation import File, Part, Unit

UNIT = "ipex-memory-check.service"


def part() -> Part:
    """What warns of little memory."""
    path = f"/etc/systemd/system/{UNIT}"
    return Part(
        files=(File(path, render(f"units/{UNIT}.j2", program=program.PATH)),),
        units=(Unit(UNIT, inputs=(program.PATH, SETTINGS, path)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{path}"),),
    )

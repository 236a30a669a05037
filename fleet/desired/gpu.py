"""What measures the GPUs of a node."""

from fleet.desired import agent, program
from fleet.desired.render import render
from fleet.generation import File, Part, Unit

UNIT = "ipex-gpu.service"


def part() -> Part:
    """What makes a node's GPUs visible; the agent tells what it leaves."""
    path = f"/etc/systemd/system/{UNIT}"
    return Part(
        files=(File(path, render(f"units/{UNIT}.j2", program=program.PATH)),),
        units=(Unit(UNIT, inputs=(program.PATH, agent.SETTINGS, path)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{path}"),),
    )

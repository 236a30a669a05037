"""What measures the engines' real traffic on a GPU node."""

from fleet.desired import program
from fleet.desired.agent import SETTINGS
from fleet.desired.render import render
from fleet.generation import File, Part, Unit

UNIT = "ipex-traffic.service"


def part() -> Part:
    """What makes latency, throughput and queues visible."""
    path = f"/etc/systemd/system/{UNIT}"
    return Part(
        files=(File(path, render(f"units/{UNIT}.j2", program=program.PATH)),),
        units=(Unit(UNIT, inputs=(program.PATH, SETTINGS, path)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{path}"),),
    )

"""Units of a GPU node that run one command of the program on the box, and need its settings and nothing else."""

from fleet.desired import program
from fleet.desired.agent import SETTINGS
from fleet.desired.render import render
from fleet.generation import File, Part, Unit

TRAFFIC = "ipex-traffic.service"
"""Measures latency, throughput and queues."""
GPU = "ipex-gpu.service"
"""Measures the GPUs; the agent tells what both leave."""
MEMORY_CHECK = "ipex-memory-check.service"
"""Warns of little memory at boot; all else a machine must be lands with the node's settings."""


def part(unit: str) -> Part:
    """What runs one of them."""
    path = f"/etc/systemd/system/{unit}"
    return Part(
        files=(File(path, render(f"units/{unit}.j2", program=program.PATH)),),
        units=(Unit(unit, inputs=(program.PATH, SETTINGS, path)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{path}"),),
    )

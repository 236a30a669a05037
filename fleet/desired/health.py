"""The health monitor of a GPU node, and the narrow door through which it restarts the node's engines."""

from typing import Any

from fleet.desired import program
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Node

SERVICE = "ipex-health-monitor.service"
TIMER = "ipex-health-monitor.timer"
DOOR = "ipex-restart@.path"
RESTART = "ipex-restart@.service"
# A user of its own and no dynamic one, whose runtime directory nobody else could read (systemd.exec(5), DynamicUser=).
USERS = "/etc/sysusers.d/ipex-health.conf"


def part(node: Node) -> Part:
    """What keeps a GPU node's engines healthy."""
    places = {name: f"/etc/systemd/system/{name}" for name in (SERVICE, TIMER, DOOR, RESTART)}
    values = _values(node)
    files = (
        File(USERS, b'u ipex-health - "health monitor of ipex-fleet" -\n'),
        *(File(path, render(f"units/{name}.j2", **values)) for name, path in places.items()),
    )
    doors = [f"ipex-restart@{service.unit.removesuffix('.service')}.path" for service in node.services]
    return Part(
        files=files,
        units=(
            # Only these instances exist: a request for any other unit is a file that nobody watches.
            *(Unit(door, inputs=(places[DOOR],)) for door in doors),
            Unit(TIMER, inputs=(places[TIMER],)),
        ),
        validators=(("systemd-analyze", "verify", "--man=no", *(f"{{root}}{path}" for path in places.values())),),
    )


def _values(node: Node) -> dict[str, Any]:
    health = node.health
    return {
        "program": program.PATH,
        "health": health,
        "engines": [service.unit for service in node.services],
        "longest_seconds": health.longest_seconds([service.probe_seconds for service in node.services]),
        "kernel_log": node.paths.kernel_log,
    }

"""What a gateway's kernel is told, so that ports do not run out (docs/reference/gateway.md)."""

from fleet.desired.render import render
from fleet.generation import File, Part, Unit

UNIT = "ipex-gateway-kernel.service"
SETTINGS = "/etc/sysctl.d/60-ipex-gateway.conf"


def part(nginx: str) -> Part:
    """What writes the settings, and brings them into force.

    Args:
        nginx: the unit that they are for.
    """
    path = f"/etc/systemd/system/{UNIT}"
    return Part(
        files=(
            File(SETTINGS, render("sysctl/ipex-gateway.conf.j2")),
            File(path, render(f"units/{UNIT}.j2", settings=SETTINGS, nginx=nginx)),
        ),
        units=(Unit(UNIT, inputs=(SETTINGS, path)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{path}"),),
    )
